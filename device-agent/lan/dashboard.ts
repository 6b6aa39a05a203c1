import os from 'node:os';
import type { Logger } from 'pino';
import type { ActivityLog } from '#agent/activity/activity.ts';
import type { Household } from '#agent/settings/household.ts';
import type { BoxNetwork, BoxStatus } from '#protocol/http-box.ts';
import type { UplinkView } from '#protocol/uplink.ts';
import type { BoxView } from './box-view.ts';
import { LanServer } from './lan-server.ts';
import { LoginLimit } from './login-limit.ts';
import type { Password } from './password.ts';
import { Sessions } from './sessions.ts';
import { StaticFiles } from './static-files.ts';

export interface DashboardParts extends Omit<BoxView, 'activity' | 'settings' | 'network'> {
  household: Household;
  activity: ActivityLog;
  password: Password;
  webuiDir: string;
  /** A clock that only grows, ms. */
  monotonic: () => number;
  urls: () => { lanUrl: string; contentUrl: string };
  routerUrl: () => string | null;
  log: Logger;
}

/** The household's page over the parts of the box. */
export function makeDashboard(parts: DashboardParts): LanServer {
  const { household, activity, monotonic } = parts;
  household.onChange((now, before) => {
    if (now.pausedUntil === before.pausedUntil) return;
    if (now.pausedUntil === null) return activity.add('resumed');
    const minutes = Math.max(1, Math.round((Date.parse(now.pausedUntil) - Date.now()) / 60_000));
    activity.add('paused', { minutes });
  });
  return new LanServer({
    password: parts.password,
    sessions: new Sessions(monotonic),
    loginLimit: new LoginLimit(monotonic),
    files: new StaticFiles(parts.webuiDir),
    ownName: os.hostname(),
    log: parts.log,
    onPasswordSet: (address) => activity.add('password_set', { address }),
    view: { ...parts, settings: household, network: () => networkOf(parts, parts.status().link) },
  });
}

/** The line as the status says it. @param nowMs by the clock that the pause was set with */
export function lineStatus(view: UplinkView, nowMs: number): BoxStatus['uplink'] {
  const { accepting, reason, pausedUntil } = view;
  const leftMs = pausedUntil === null ? 0 : Math.round(Date.parse(pausedUntil) - nowMs);
  return { accepting, pausedForMs: leftMs > 0 ? leftMs : null, monthUsedUp: reason === 'month_used_up' };
}

function networkOf(parts: DashboardParts, link: BoxStatus['link']): BoxNetwork {
  const addresses = Object.entries(os.networkInterfaces()).flatMap(([name, list]) =>
    (list ?? [])
      .filter((each) => !each.internal)
      .map((each) => ({
        name,
        address: each.address,
        family: each.family === 'IPv6' ? ('ipv6' as const) : ('ipv4' as const),
      })),
  );
  const { lanUrl, contentUrl } = parts.urls();
  return {
    addresses: addresses.slice(0, 32),
    lanUrl,
    contentUrl,
    routerUrl: parts.routerUrl(),
    fleetUrl: link.fleetUrl,
    link: { state: link.state, since: link.since, problem: link.problem },
  };
}
