import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Asset, Box, Placement } from '#protocol/http-fleet.ts';
import type { DiskState } from '#protocol/messages.ts';
import { Badge, Button, DISK_TONES, type Tone, toast } from '../../shared/components/basics.tsx';
import { Head, LinkButton } from '../../shared/components/page.tsx';
import { explainReason } from '../../shared/errors.ts';
import { hasText, t } from '../text.ts';

export { Head, LinkButton };

/** A page of what there is, with a button that opens the dialog for one more. */
export function AddPage(props: {
  title: string;
  lead: string;
  add: string;
  dialog: (onClose: () => void) => VNode;
  children: ComponentChildren;
}) {
  const [adding, setAdding] = useState(false);
  return (
    <>
      <Head title={props.title} lead={props.lead}>
        <Button kind="primary" icon="plus" onClick={() => setAdding(true)}>
          {props.add}
        </Button>
      </Head>
      {props.children}
      {adding ? props.dialog(() => setAdding(false)) : null}
    </>
  );
}

const BOX_TONES: Record<Box['state'], Tone> = { online: 'good', offline: 'bad', never_seen: 'plain' };

export function BoxState({ box }: { box: Pick<Box, 'state'> }) {
  return <Badge tone={BOX_TONES[box.state]}>{t(`box.state.${box.state}`)}</Badge>;
}

/** Why the router leaves a box out, in words; null when it does not. */
export function routeText(box: Pick<Box, 'routable' | 'notRoutableReason'>): string | null {
  if (box.routable || box.notRoutableReason === null) return null;
  const key = `box.why.${box.notRoutableReason}`;
  return hasText(key) ? t(key as 'box.why.offline') : box.notRoutableReason;
}

export function DiskBadge({ state }: { state: DiskState }) {
  return <Badge tone={DISK_TONES[state]}>{t(`disk.${state}`)}</Badge>;
}

const ASSET_TONES: Record<Asset['state'], Tone> = {
  queued: 'plain',
  reading: 'live',
  ready: 'good',
  failed: 'bad',
  purged: 'plain',
};

export function AssetState({ asset }: { asset: Pick<Asset, 'state'> }) {
  return <Badge tone={ASSET_TONES[asset.state]}>{t(`asset.state.${asset.state}`)}</Badge>;
}

export function PlacementState({ placement }: { placement: Placement }) {
  if (placement.desired === 'absent') return <Badge>{t('placement.leaving')}</Badge>;
  const reported = placement.reported;
  if (reported === null) return <Badge>{t('placement.asked')}</Badge>;
  const tone: Tone =
    reported === 'held'
      ? 'good'
      : reported === 'downloading'
        ? 'live'
        : reported === 'failed'
          ? 'bad'
          : 'plain';
  return <Badge tone={tone}>{t(`asset.${reported}`)}</Badge>;
}

/** A `{code, message}` from a box or from ingest, in words. */
export function Reason({ reason }: { reason: { code: string; message: string } | null }) {
  if (reason === null) return null;
  const told = explainReason(reason.code, reason.message);
  return (
    <span class="why small break">
      {told.title} {told.detail ? <span class="soft">{told.detail}</span> : null}
    </span>
  );
}

/** Puts text on the clipboard; where the browser forbids it (plain http), the text can be marked by hand. */
export function CopyButton({ text }: { text: string }) {
  if (!('clipboard' in navigator)) return null;
  return (
    <Button
      compact
      onClick={() => {
        navigator.clipboard.writeText(text).then(
          () => toast(t('common.copied')),
          () => {},
        );
      }}
    >
      {t('common.copy')}
    </Button>
  );
}

/** Lists are read so often while they are on screen, milliseconds. */
export const LIST_INTERVAL_MS = 3000;
