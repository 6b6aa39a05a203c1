import { within } from '#agent/disks/places.ts';
import { HearthError } from '#protocol/errors.ts';
import { settingsChangeSchema } from '#protocol/household.ts';
import {
  boxAwayEndSchema,
  contentQuerySchema,
  diskChoiceSchema,
  pairSchema,
  pauseSchema,
} from '#protocol/http-box.ts';
import type { Routes } from './api.ts';
import { present, readBody, readQuery } from './api.ts';
import type { BoxView } from './box-view.ts';

/** The box as it is: read only, but for pairing. */
export function boxRoutes(view: BoxView): Routes {
  return {
    'GET /status': () => view.status(),
    'GET /content': ({ query }) => view.content(readQuery(query, contentQuerySchema)),
    'GET /earnings': () => ({ earnings: view.earnings() }),
    'GET /activity': () => ({ items: view.activity.list() }),
    'GET /network': () => view.network(),
    'GET /history': () => view.uplink.history(),
    'GET /scrub': () => present(view.scrub)(),
    'GET /doctor': () => present(view.reach).report(),
    'POST /doctor': () => {
      const reach = present(view.reach);
      reach.retry();
      return reach.report();
    },
    'GET /pair': () => ({ fleetUrl: view.defaultFleetUrl() }),
    'POST /pair': async ({ request }) => {
      const { claimCode, fleetUrl } = await readBody(request, pairSchema);
      await view.pair(claimCode, fleetUrl?.replace(/\/+$/, '') ?? null);
      return view.status();
    },
  };
}

/** The dashboard from away. */
export function awayRoutes(view: BoxView): Routes {
  return {
    'GET /away': () => present(view.away).view(),
    'POST /away': () => present(view.away).turnOn(),
    'DELETE /away': () => present(view.away).turnOff(),
    'POST /away/end': async ({ request }) => {
      const { sessions } = await readBody(request, boxAwayEndSchema);
      return present(view.away).end(sessions);
    },
  };
}

/** How long the list of disks may take, ms; and where it is only for show. */
const LIST_MS = 12_000;
const FIXED_LIST_MS = 3_000;

/** All but the pause, which is a length and not a time: boxes may have no clock. */
const changeableSchema = settingsChangeSchema.omit({ pausedUntil: true });

/** What the household decides about its line and its box. */
export function settingsRoutes(view: BoxView): Routes {
  const { settings, uplink } = view;
  return {
    'GET /settings': () => settings.now,
    'PATCH /settings': async ({ request }) => {
      const change = await readBody(request, changeableSchema);
      // Another disk is chosen by its own call, which looks at it first.
      const { mount: _, ...disk } = change.disk ?? {};
      return settings.change({ ...change, disk });
    },
    'POST /pause': async ({ request }) => {
      const { minutes } = await readBody(request, pauseSchema);
      await uplink.pause(minutes);
      return view.status();
    },
    'DELETE /pause': async () => {
      await uplink.resume();
      return view.status();
    },
    'GET /uplink': () => uplink.view(),
    'POST /uplink/test': ({ signal }) => present(view.testUplink)(signal),
  };
}

/** The disk: which, and whether it may be unplugged. */
export function diskRoutes(view: BoxView): Routes {
  return {
    'GET /disks': async () => {
      const disks = present(view.disks);
      // A disk that hangs in the kernel must not keep the page waiting, least of all where there is nothing to pick.
      const items = await within(disks.list(), disks.fixed === null ? LIST_MS : FIXED_LIST_MS, null);
      if (items === null && disks.fixed === null) {
        throw new HearthError('unavailable', 'A disk does not answer: unplug it, then look again.');
      }
      return { fixed: disks.fixed, items: items ?? [] };
    },
    'POST /disk': async ({ request }) => {
      const { mount, adopt } = await readBody(request, diskChoiceSchema);
      await present(view.disks).choose(mount, { adopt });
      return view.status();
    },
    'POST /disk/eject': async () => {
      await present(view.disks).eject();
      return view.status();
    },
    'POST /disk/attach': async () => {
      await present(view.disks).attach();
      return view.status();
    },
  };
}
