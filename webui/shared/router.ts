import { signal } from '@preact/signals';
import { tellPage } from './focus.ts';

export interface Route {
  /** Path segments behind `#/`, decoded; empty for the first page. */
  segments: string[];
  query: URLSearchParams;
}

/** Reads a location hash such as `#/boxes/box-1?tab=x`; what cannot be decoded is taken as it stands. */
export function parseHash(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const segments = path
    .split('/')
    .filter((segment) => segment !== '')
    .map((segment) => {
      try {
        return decodeURIComponent(segment);
      } catch {
        return segment;
      }
    });
  return { segments, query: new URLSearchParams(query) };
}

export const route = signal<Route>({ segments: [], query: new URLSearchParams() });

/** Follows the address bar; call once at start. */
export function startRouter(): void {
  const read = () => {
    const before = route.value.segments.join('/');
    route.value = parseHash(location.hash);
    if (route.value.segments.join('/') === before) return;
    window.scrollTo(0, 0);
    // A screen reader is told of the new page by its heading; after the page has been drawn.
    requestAnimationFrame(tellPage);
  };
  window.addEventListener('hashchange', read);
  read();
}

/** Makes a link: `href('boxes', id)` is `#/boxes/<id>`. */
export function href(...segments: string[]): string {
  return `#/${segments.map(encodeURIComponent).join('/')}`;
}

/** Goes to a page made with `href`. */
export function navigate(target: string): void {
  location.hash = target;
}
