import type { Activity, ActivityKind } from '#protocol/http-box.ts';
import type { DiskState } from '#protocol/messages.ts';
import type { IconName } from '../shared/components/icon.tsx';
import { explainReason } from '../shared/errors.ts';
import { formatBytes, formatNumber } from '../shared/format.ts';
import { sharedEn } from '../shared/messages/en.ts';
import { t } from './text.ts';

interface Look {
  icon: IconName;
  tone: '' | 'good' | 'warn' | 'bad' | 'ember';
}

const LOOKS: Record<ActivityKind, Look> = {
  started: { icon: 'pulse', tone: '' },
  paired: { icon: 'link', tone: 'good' },
  online: { icon: 'link', tone: 'good' },
  offline: { icon: 'link', tone: 'warn' },
  asset_queued: { icon: 'clock', tone: '' },
  asset_held: { icon: 'download', tone: 'good' },
  asset_failed: { icon: 'warn', tone: 'bad' },
  asset_deleted: { icon: 'trash', tone: '' },
  asset_expired: { icon: 'clock', tone: '' },
  asset_evicted: { icon: 'trash', tone: '' },
  integrity_started: { icon: 'shield', tone: '' },
  integrity_finished: { icon: 'shield', tone: 'good' },
  chunk_damaged: { icon: 'shield', tone: 'warn' },
  disk_state: { icon: 'disk', tone: 'warn' },
  settled: { icon: 'coins', tone: 'ember' },
  settlement_refused: { icon: 'coins', tone: 'bad' },
  command_refused: { icon: 'warn', tone: 'warn' },
  paused: { icon: 'clock', tone: 'warn' },
  resumed: { icon: 'pulse', tone: 'good' },
  password_set: { icon: 'key', tone: '' },
  away_on: { icon: 'key', tone: '' },
  away_off: { icon: 'key', tone: '' },
  away_used: { icon: 'key', tone: 'warn' },
  away_ended: { icon: 'key', tone: '' },
};

export interface Told extends Look {
  text: string;
  /** A second, smaller line: why, or how much. */
  more: string | null;
}

/** Makes a line for people of an activity. Details that are not there are left out, never invented. */
export function tellActivity(item: Activity): Told {
  const { kind, detail } = item;
  const look =
    kind === 'disk_state' && detail.state === 'ok' ? ({ icon: 'disk', tone: 'good' } as const) : LOOKS[kind];
  const what =
    kind === 'disk_state' ? diskWord(detail.state) : String(detail.path ?? t('activity.something'));
  return { ...look, text: t(`activity.${kind}`, { what }), more: moreOf(kind, detail) };
}

function moreOf(kind: ActivityKind, detail: Activity['detail']): string | null {
  if (kind === 'settled' && typeof detail.acceptedBytes === 'number') {
    return t('activity.bytes', { n: formatBytes(detail.acceptedBytes) });
  }
  if (kind === 'integrity_finished') {
    if (typeof detail.damagedChunks === 'number' && detail.damagedChunks > 0) {
      return t('activity.damaged.n', { n: formatNumber(detail.damagedChunks) });
    }
    if (typeof detail.checkedChunks === 'number' && detail.checkedChunks > 0) {
      return t('activity.checked.n', { n: formatNumber(detail.checkedChunks) });
    }
  }
  if ((kind === 'password_set' || kind === 'away_used') && typeof detail.address === 'string') {
    return t('activity.from', { address: detail.address });
  }
  const code = detail.code ?? '';
  const message = detail.message ?? detail.reason ?? '';
  if (code === '' && message === '') return null;
  const told = explainReason(String(code), String(message));
  return told.detail ? `${told.title} ${told.detail}` : told.title;
}

function diskWord(state: string | number | undefined): string {
  const key = `disk.${state}`;
  return Object.hasOwn(sharedEn, key) ? t(key as `disk.${DiskState}`) : String(state ?? t('common.unknown'));
}
