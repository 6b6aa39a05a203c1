import type { ComponentType } from 'preact';
import type { IconName } from '../shared/components/icon.tsx';
import { lazy } from '../shared/lazy.tsx';
import type { Route } from '../shared/router.ts';
import { Home } from './views/home.tsx';
import { MorePage } from './views/more.tsx';

interface Page {
  icon: IconName;
  /** In the bar at the bottom of a phone; the others are behind "More". */
  onPhone: boolean;
  view: ComponentType;
}

const page = (icon: IconName, view: ComponentType, onPhone = false): Page => ({ icon, view, onPhone });

/** Home is there at once; what is looked at less often is loaded when it is. */
export const PAGES = [
  { name: 'home', ...page('home', Home, true) },
  {
    name: 'earnings',
    ...page(
      'coins',
      lazy(async () => (await import('./views/earnings.tsx')).EarningsPage),
      true,
    ),
  },
  {
    name: 'storage',
    ...page(
      'disk',
      lazy(async () => (await import('./views/storage.tsx')).StoragePage),
      true,
    ),
  },
  {
    name: 'network',
    ...page(
      'network',
      lazy(async () => (await import('./views/network.tsx')).NetworkPage),
      true,
    ),
  },
  {
    name: 'content',
    ...page(
      'files',
      lazy(async () => (await import('./views/content.tsx')).ContentPage),
    ),
  },
  {
    name: 'activity',
    ...page(
      'pulse',
      lazy(async () => (await import('./views/activity.tsx')).ActivityPage),
    ),
  },
  {
    name: 'settings',
    ...page(
      'gear',
      lazy(async () => (await import('./views/settings.tsx')).SettingsPage),
    ),
  },
  {
    name: 'logs',
    ...page(
      'book',
      lazy(async () => (await import('./views/logs.tsx')).LogsPage),
    ),
  },
  { name: 'more', ...page('more', MorePage, true) },
] as const;

export type PageName = (typeof PAGES)[number]['name'];

export function pageOf(route: Route): (typeof PAGES)[number] {
  return PAGES.find((each) => each.name === route.segments[0]) ?? PAGES[0];
}

/** The entry of a phone's bar under which a page is found. */
export function sectionOf(name: PageName): PageName {
  return PAGES.find((each) => each.name === name)?.onPhone ? name : 'more';
}
