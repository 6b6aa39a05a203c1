import type { HouseholdSettings, SettingsChange } from '#protocol/household.ts';
import type {
  Activity,
  BoxAway,
  BoxAwayKey,
  BoxContent,
  BoxDisk,
  BoxNetwork,
  BoxScrub,
  BoxStatus,
  ContentQuery,
  LogLine,
} from '#protocol/http-box.ts';
import type { Earnings } from '#protocol/messages.ts';
import type { BoxReach } from '#protocol/reach.ts';
import type { UplinkHistory, UplinkTestResult, UplinkView } from '#protocol/uplink.ts';

/** What the dashboard is shown and may do. What a box does not have is null, and answered with `unavailable`. */
export interface BoxView {
  status: () => BoxStatus;
  content: (query: ContentQuery) => BoxContent;
  earnings: () => Earnings | null;
  activity: ActivityView;
  defaultFleetUrl: () => string | null;
  /** @throws HearthError why it failed */
  pair: (claimCode: string, fleetUrl: string | null) => Promise<void>;
  settings: SettingsView;
  network: () => BoxNetwork;
  disks: DisksView | null;
  uplink: LineView;
  /** @throws HearthError why it could not be measured */
  testUplink: ((signal: AbortSignal) => Promise<UplinkTestResult>) | null;
  scrub: (() => BoxScrub) | null;
  /** How clients reach the box. */
  reach: ReachView | null;
  logs: LogsView | null;
  /** The dashboard from away. */
  away: AwayView | null;
}

export interface AwayView {
  view: () => BoxAway;
  turnOn: () => Promise<BoxAwayKey>;
  turnOff: () => Promise<BoxAway>;
  end: (sessions: string[]) => Promise<BoxAway>;
}

export interface ReachView {
  report: () => BoxReach;
  /** Tries everything anew; the report follows. */
  retry: () => void;
}

export interface SettingsView {
  readonly now: HouseholdSettings;
  /** @throws HearthError `bad_request` */
  change: (change: SettingsChange) => Promise<HouseholdSettings>;
  /** @returns what ends the listening */
  onChange: (listener: () => void) => unknown;
}

export interface LineView {
  view: () => UplinkView;
  history: () => UplinkHistory;
  /** Nothing is served or fetched for so many minutes. */
  pause: (minutes: number) => Promise<void>;
  resume: () => Promise<void>;
}

export interface ActivityView {
  /** Newest first. */
  list: () => readonly Activity[];
  onAdd: (listener: (item: Activity) => void) => unknown;
}

export interface DisksView {
  /** The folder the options name: then there is nothing to choose. */
  readonly fixed: string | null;
  list: () => Promise<BoxDisk[]>;
  /** @throws HearthError why not, such as `disk_foreign` or `disk_unmarked` while `adopt` is false */
  choose: (mount: string, options: { adopt: boolean }) => Promise<void>;
  /** Stops using the disk; resolves when it may be unplugged. */
  eject: () => Promise<void>;
  attach: () => Promise<void>;
}

export interface LogsView {
  /** Lines of at least that level after that one, oldest first. */
  list: (after: number, level: LogLine['level']) => LogLine[];
  /** Called after each line. */
  onAdd: (listener: () => void) => unknown;
}
