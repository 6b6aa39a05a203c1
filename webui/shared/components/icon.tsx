/** 24 x 24 line icons, drawn for this product. */
const PATHS = {
  home: 'M4 11.5 12 5l8 6.5V19a1 1 0 0 1-1 1h-4.5v-5h-5v5H5a1 1 0 0 1-1-1z',
  coins: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM14.8 9.6A3.4 3.4 0 0 0 9 12a3.4 3.4 0 0 0 5.8 2.4',
  files: 'M5 4h9l5 5v11H5zM14 4v5h5M9 13h6M9 16.5h4',
  pulse: 'M3 12h4l3-7 4 14 3-7h4',
  logout: 'M14 4H5v16h9M10 12h10m-3.5-3.5L20 12l-3.5 3.5',
  globe:
    'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM3.5 12h17M12 3.5c5 5.5 5 11.5 0 17-5-5.5-5-11.5 0-17z',
  down: 'M6 9.5l6 6 6-6',
  download: 'M12 4v11m-4.5-4L12 15.5 16.5 11M5 19.5h14',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  warn: 'M12 4 2.8 20h18.4zM12 10v4.5M12 17.2v.3',
  info: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 11v5.5M12 7.6v.3',
  trash: 'M5 7h14M10 7V4.5h4V7M7 7l.8 13h8.4L17 7',
  clock: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 7.5V12l3 2',
  link: 'M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.700l1-1',
  disk: 'M4 6h16v12H4zM4 14h16M16.5 16.200v.3',
  shield: 'M12 3.5 5 6v5.500c0 4.5 3 7.5 7 9 4-1.5 7-4.5 7-9V6zM9 12l2.3 2.300L15.3 10',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.300a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.400z',
  eyeOff:
    'M4 4l16 16M9.5 5.800A9 9 0 0 1 12 5.500c6 0 9.5 6.5 9.5 6.500a16 16 0 0 1-3 3.600M6 7.500A16 16 0 0 0 2.5 12S6 18.5 12 18.500a9 9 0 0 0 3.8-.8',
  plus: 'M12 5v14M5 12h14',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20',
  box: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8',
  send: 'M4 12 20 4l-5 16-4-6zM11 14l9-10',
  menu: 'M4 7h16M4 12h16M4 17h16',
  key: 'M14.5 4a5.5 5.5 0 0 0-5.3 7L4 16.200V20h3.800v-2.500h2.500V15l2-2a5.5 5.5 0 1 0 2.2-9zM16 8v.3',
  book: 'M5 4.500h6a2 2 0 0 1 2 2V20a2 2 0 0 0-2-1.500H5zM19 4.500h-4a2 2 0 0 0-2 2V20a2 2 0 0 1 2-1.500h4z',
  gauge: 'M4 17a8.5 8.5 0 1 1 16 0M12 15l4-5',
  refresh: 'M19.5 12a7.5 7.5 0 1 1-2.3-5.400L19.5 9M19.5 4.500V9H15',
  ledger: 'M5 4h14v16H5zM9 4v16M12 9h4M12 13h4',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 5l11 7-11 7z',
  network:
    'M12 19v.3M8.300 15.500a5.300 5.300 0 0 1 7.400 0M5 12a10 10 0 0 1 14 0M1.900 8.600a14.500 14.500 0 0 1 20.200 0',
  gear: 'M12 8.800a3.200 3.200 0 1 0 0 6.400 3.200 3.200 0 0 0 0-6.400zM12 3v2.500M12 18.500V21M3 12h2.500M18.500 12H21M5.600 5.600l1.800 1.800M16.600 16.600l1.800 1.800M18.400 5.600l-1.800 1.800M7.400 16.600l-1.800 1.800',
  eject: 'M12 5l7 9H5zM5 18.500h14',
  more: 'M5 12v.3M12 12v.3M19 12v.3',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400',
  moon: 'M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z',
  back: 'M19 12H5m6-6-6 6 6 6',
} as const;

export type IconName = keyof typeof PATHS;

/** A decoration: the text beside it says the same, so it is hidden from screen readers. */
export function Icon({ name, class: extra = '' }: { name: IconName; class?: string }) {
  return (
    <svg
      class={`icon ${extra}`}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Spinner() {
  return (
    <svg class="icon spin" viewBox="0 0 24 24" fill="none" aria-hidden="true">
      <circle cx="12" cy="12" r="8.5" stroke="currentColor" stroke-width="2.5" opacity="0.25" />
      <path
        d="M12 3.500a8.5 8.5 0 0 1 8.5 8.5"
        stroke="currentColor"
        stroke-width="2.5"
        stroke-linecap="round"
      />
    </svg>
  );
}

/** How the fire burns: the box's state at a glance. */
export type Fire = 'cold' | 'embers' | 'lit' | 'blaze';

/** Hearth's mark: the opening of a fireplace with its fire. */
export function Mark({ fire = 'lit', class: extra = '' }: { fire?: Fire; class?: string }) {
  return (
    <svg class={`mark ${fire} ${extra}`} viewBox="0 0 64 64" aria-hidden="true">
      <path d="M6 60V28a26 26 0 0 1 52 0v32z" fill="#2b322d" stroke="#555e57" stroke-width="3" />
      <path d="M14 60V29a18 18 0 0 1 36 0v31z" fill="#0f1210" />
      <path
        class="flame"
        d="M32 21c2 7 11 11 11 22a11 11 0 0 1-22 0c0-5 3-8 5-10 0 3 1 5 3 6 1-6 1-12 3-18z"
        fill="#f26a2e"
        transform-origin="32 54"
      />
      <path
        class="core"
        d="M32.5 36c1 4 5 6 5 11a5.5 5.5 0 0 1-11 0c0-3 1.5-4 2.5-5.5.5 1.5 1 2 2 2.5 0-3 .5-5 1.5-8z"
        fill="#ffc46b"
      />
      <path d="M17 57h30" stroke="#7a4a2c" stroke-width="5" stroke-linecap="round" />
    </svg>
  );
}
