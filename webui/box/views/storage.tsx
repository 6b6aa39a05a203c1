import { useState } from 'preact/hooks';
import type { DiskSettings } from '#protocol/household.ts';
import type { BoxDisks, BoxScrub, BoxStatus } from '#protocol/http-box.ts';
import { ApiError } from '../../shared/api.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Button, Card, Fact, Fault, Loaded, Note, toast } from '../../shared/components/basics.tsx';
import { Dialog } from '../../shared/components/dialog.tsx';
import { Choices, Field, Form } from '../../shared/components/form.tsx';
import { Head } from '../../shared/components/page.tsx';
import {
  formatBytes,
  formatDateTime,
  formatDuration,
  formatNumber,
  formatShare,
} from '../../shared/format.ts';
import { refreshQueries, useAction, useQuery } from '../../shared/query.ts';
import { useStatus } from '../live.ts';
import { api, changeSettings, useSettings } from '../state.ts';
import { t } from '../text.ts';
import { diskTrouble } from '../troubles.ts';
import { fromField, toField } from '../units.ts';
import { DiskBadge, Usage, whyDisk } from './disk.tsx';
import { DiskPicker } from './disk-picker.tsx';
import { doubtInUse, TakeDialog } from './disk-taking.tsx';

const DISK_TIMEOUT_MS = 60_000;
const GIB_64M = 64 * 1024 * 1024;

export function StoragePage() {
  const status = useStatus();
  const settings = useSettings();
  return (
    <>
      <Head title={t('nav.storage')} lead={t('storage.lead')} />
      <Loaded query={status} heights={[260]}>
        {(now) => <InUse status={now} bounds={settings.data?.disk ?? null} />}
      </Loaded>
      <div class="grid two">
        <Loaded query={settings} heights={[320]}>
          {({ disk }) => (
            <Bounds
              key={JSON.stringify(disk)}
              disk={disk}
              usualFloor={status.data?.disk.floorBytes ?? null}
            />
          )}
        </Loaded>
        <Scrub />
      </div>
    </>
  );
}

/** The disk in use, and what can be done with it. */
function InUse({ status, bounds }: { status: BoxStatus; bounds: DiskSettings | null }) {
  const { disk } = status;
  const disks = useQuery<BoxDisks>(api, '/disks', 10_000);
  const [choosing, setChoosing] = useState(false);
  const [taking, setTaking] = useState(false);
  const done = () => {
    for (const path of ['/status', '/disks']) refreshQueries(path);
  };
  const eject = useAction(async () => {
    await api.send('POST', '/disk/eject', undefined, DISK_TIMEOUT_MS);
    toast(t('storage.ejected'));
    done();
  });
  const attach = useAction(async () => {
    await api.send('POST', '/disk/attach', undefined, DISK_TIMEOUT_MS);
    done();
  });
  const ejected = disk.reason === 'ejected';
  const doubt = doubtInUse(disk);
  const fixed = disks.data?.fixed ?? null;
  const why = whyDisk(disk);
  const may = disks.data !== undefined;
  const used = disks.data?.items.find((each) => each.chosen);
  return (
    <Card title={used?.label || t('disk.title')} aside={<DiskBadge disk={disk} />}>
      {ejected ? (
        <Note tone="good">
          <p>{t('head.ejected.text')}</p>
        </Note>
      ) : disk.state !== 'ok' ? (
        <Note tone={disk.state === 'slow' || disk.state === 'full' ? 'warn' : 'bad'}>
          <p>{t(`head.${diskTrouble(disk) ?? 'absent'}.text`)}</p>
          {why ? <p class="detail">{why}</p> : null}
        </Note>
      ) : null}
      <Usage disk={disk} bounds={bounds} />
      {used || disk.path !== '' ? (
        <dl class="facts">
          {used ? <Fact label={t('storage.filesystem')}>{used.filesystem}</Fact> : null}
          {disk.path === '' ? null : (
            <Fact label={t('storage.folder')}>
              <code>{disk.path}</code>
            </Fact>
          )}
          {disk.id ? (
            <Fact label={t('storage.id')}>
              <code>{disk.id}</code>
            </Fact>
          ) : null}
        </dl>
      ) : null}
      <Fault error={eject.error ?? attach.error} />
      {may ? (
        <div class="actions">
          {ejected ? (
            <Button kind="primary" busy={attach.busy} onClick={() => attach.run()}>
              {t('act.attach')}
            </Button>
          ) : disk.state === 'absent' || disk.state === 'foreign' ? null : (
            <Button icon="eject" busy={eject.busy} onClick={() => eject.run()}>
              {t('storage.eject')}
            </Button>
          )}
          {fixed === null ? (
            <Button kind={doubt ? 'primary' : undefined} onClick={() => setChoosing(true)}>
              {t(
                disk.reason === 'none_chosen'
                  ? 'storage.choose'
                  : doubt === 'unmarked'
                    ? 'wizard.disk.button'
                    : 'storage.change',
              )}
            </Button>
          ) : doubt ? (
            <Button kind="primary" onClick={() => setTaking(true)}>
              {t('wizard.disk.button')}
            </Button>
          ) : null}
        </div>
      ) : null}
      {taking && doubt && fixed !== null ? (
        <TakeDialog
          doubt={doubt}
          folder={fixed}
          onClose={() => setTaking(false)}
          onDone={() => {
            setTaking(false);
            toast(t('storage.changed'));
          }}
        />
      ) : null}
      {choosing ? (
        <Dialog title={t('storage.change')} onClose={() => setChoosing(false)}>
          {doubt ? null : <p class="soft">{t('storage.changeLead')}</p>}
          <DiskPicker
            button={t('wizard.disk.button')}
            back={<Button onClick={() => setChoosing(false)}>{t('common.cancel')}</Button>}
            onDone={() => {
              setChoosing(false);
              toast(t('storage.changed'));
            }}
          />
        </Dialog>
      ) : null}
    </Card>
  );
}

type QuotaKind = 'all' | 'percent' | 'bytes';

/** How much of the disk Hearth may fill, and what always stays free. */
function Bounds({ disk, usualFloor }: { disk: DiskSettings; usualFloor: number | null }) {
  const { quota } = disk;
  const [kind, setKind] = useState<QuotaKind>(quota?.unit ?? 'all');
  const [percent, setPercent] = useState(quota?.unit === 'percent' ? String(quota.value) : '80');
  const [size, setSize] = useState(toField(quota?.unit === 'bytes' ? quota.value : 100e9, 'gb'));
  const [floor, setFloor] = useState(toField(disk.floorBytes, 'gb'));
  const [tried, setTried] = useState(false);
  const share = /^\d{1,3}$/.test(percent.trim()) ? Number(percent) : 0;
  const shareFine = share >= 1 && share <= 100;
  const bytes = fromField(size, 'gb', GIB_64M);
  const floorBytes = fromField(floor, 'gb');
  const fine =
    floorBytes !== undefined &&
    (kind === 'all' || (kind === 'percent' ? shareFine : typeof bytes === 'number'));
  const save = useAction(async () => {
    await changeSettings({
      disk: {
        quota:
          kind === 'percent'
            ? { unit: 'percent', value: share }
            : kind === 'bytes' && typeof bytes === 'number'
              ? { unit: 'bytes', value: bytes }
              : null,
        floorBytes: floorBytes ?? null,
      },
    });
    toast(t('settings.saved'));
  });
  return (
    <Card title={t('bounds.title')}>
      <Form
        onSubmit={() => {
          setTried(true);
          if (fine) save.run();
        }}
      >
        <Choices
          legend={t('bounds.legend')}
          quiet
          value={kind}
          onChange={setKind}
          options={[
            { value: 'all', label: t('bounds.all') },
            { value: 'percent', label: t('bounds.percent') },
            { value: 'bytes', label: t('bounds.bytes') },
          ]}
        />
        {kind === 'percent' ? (
          <Field
            label={t('bounds.percentField')}
            value={percent}
            numeric
            onInput={setPercent}
            fault={tried && !shareFine ? t('bounds.percentFault') : null}
          />
        ) : null}
        {kind === 'bytes' ? (
          <Field
            label={t('bounds.bytesField')}
            value={size}
            decimal
            onInput={setSize}
            fault={tried && typeof bytes !== 'number' ? t('caps.fault') : null}
          />
        ) : null}
        <Field
          label={t('bounds.floor')}
          value={floor}
          decimal
          onInput={setFloor}
          hint={
            disk.floorBytes === null && usualFloor !== null
              ? t('bounds.floorUsual', { n: formatBytes(usualFloor) })
              : t('bounds.floorHint')
          }
          fault={tried && floorBytes === undefined ? t('caps.fault') : null}
        />
        <Fault error={save.error} />
        <div class="actions">
          <Button type="submit" kind="primary" busy={save.busy}>
            {t('common.save')}
          </Button>
        </div>
      </Form>
    </Card>
  );
}

/** The round in which everything held is read and checked again; not shown by a box that has none. */
function Scrub() {
  const scrub = useQuery<BoxScrub>(api, '/scrub', 3_000);
  if (scrub.error instanceof ApiError && scrub.error.code === 'unavailable') return null;
  return (
    <Loaded query={scrub} heights={[220]}>
      {(now) => (
        <Card title={t('scrub.title')}>
          <p class="soft">
            {now.periodMs === null
              ? t('scrub.leadAtStart')
              : t('scrub.lead', { period: formatDuration(now.periodMs) })}
          </p>
          {now.running ? (
            <>
              <p class="figure">
                {formatShare(now.checkedChunks, now.totalChunks)} <small>{t('scrub.running')}</small>
              </p>
              <Bar
                label={t('scrub.bar', { share: formatShare(now.checkedChunks, now.totalChunks) })}
                parts={[{ value: now.checkedChunks, ink: 'good' }]}
                total={now.totalChunks}
              />
            </>
          ) : null}
          <dl class="facts">
            <Fact label={t('scrub.last')}>
              {now.finishedAt ? formatDateTime(now.finishedAt) : t('common.never')}
            </Fact>
            {now.nextAt ? <Fact label={t('scrub.next')}>{formatDateTime(now.nextAt)}</Fact> : null}
            <Fact label={t('scrub.damaged')}>{formatNumber(now.damagedChunks)}</Fact>
          </dl>
        </Card>
      )}
    </Loaded>
  );
}
