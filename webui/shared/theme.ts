import { computed, signal } from '@preact/signals';

export const THEMES = ['auto', 'light', 'dark'] as const;
export type ThemeChoice = (typeof THEMES)[number];

const STORAGE_KEY = 'hearth-theme';
const systemIsDark = signal(false);

/** What the person chose; write it through `setTheme`. */
export const themeChoice = signal<ThemeChoice>('auto');

/** What is shown: the choice, or what the system prefers. */
export const theme = computed<'light' | 'dark'>(() =>
  themeChoice.value === 'auto' ? (systemIsDark.value ? 'dark' : 'light') : themeChoice.value,
);

/** Reads the remembered choice, follows the system and other tabs; call once at start, before anything is drawn. */
export function startTheme(): void {
  const media = matchMedia('(prefers-color-scheme: dark)');
  const follow = () => {
    systemIsDark.value = media.matches;
  };
  media.addEventListener('change', follow);
  follow();
  const take = (remembered: string | null) => {
    themeChoice.value = THEMES.find((each) => each === remembered) ?? 'auto';
  };
  try {
    take(localStorage.getItem(STORAGE_KEY));
  } catch {
    // Storage may be forbidden: the system then decides on every visit.
  }
  window.addEventListener('storage', ({ key, newValue }) => {
    if (key === STORAGE_KEY) take(newValue);
  });
  theme.subscribe((now) => {
    document.documentElement.dataset.theme = now;
  });
}

/** Changes the theme and remembers it in this browser. */
export function setTheme(next: ThemeChoice): void {
  themeChoice.value = next;
  try {
    localStorage.setItem(STORAGE_KEY, next);
  } catch {
    // As above: it holds for this visit.
  }
}
