import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import type { BoxDisk, BoxDisks } from '#protocol/http-box.ts';
import { Badge, Button, Fault, Loaded, Note, type Tone } from '../../shared/components/basics.tsx';
import { Choices, Form } from '../../shared/components/form.tsx';
import { formatBytes } from '../../shared/format.ts';
import { useAction, useQuery } from '../../shared/query.ts';
import { api } from '../state.ts';
import { hasText, t } from '../text.ts';
import { Agreement, doubtOf, takeDisk } from './disk-taking.tsx';

const TONES: Record<BoxDisk['state'], Tone> = {
  ours: 'good',
  free: 'plain',
  foreign: 'warn',
  unmarked: 'warn',
  unsuitable: 'plain',
};
/** The disks that are plugged in, to pick one; a foreign one, or one without a mark, only after a clear word. */
export function DiskPicker(props: {
  button: string;
  onDone: () => void;
  back?: ComponentChildren;
  later?: ComponentChildren;
}) {
  const disks = useQuery<BoxDisks>(api, '/disks', 3_000);
  const [picked, setPicked] = useState<string | null>(null);
  const proposed = useRef<string | null>(null);
  const [adopt, setAdopt] = useState(false);
  const [tried, setTried] = useState(false);
  const action = useAction(async (mount: string) => {
    await takeDisk(mount, adopt);
    props.onDone();
  });
  if (disks.data && disks.data.fixed !== null) {
    return (
      <>
        <Note>
          <p>{t('disks.fixed')}</p>
          <p class="detail">{disks.data.fixed}</p>
        </Note>
        <div class="actions">
          {props.back}
          <Button kind="primary" onClick={props.onDone}>
            {t('wizard.next')}
          </Button>
        </div>
      </>
    );
  }
  return (
    <Loaded query={disks} heights={[84, 84]}>
      {({ items }) => {
        // What was proposed stays so while it is there: a choice must not change under somebody's eyes.
        const kept = items.some((each) => each.mount === proposed.current) ? proposed.current : null;
        const mount = picked ?? kept ?? startWith(items);
        proposed.current = mount;
        const disk = items.find((each) => each.mount === mount);
        const doubt = doubtOf(disk?.state);
        const missing =
          tried && !disk ? t('disks.pickOne') : tried && doubt && !adopt ? t('disks.mustAgree') : null;
        return (
          <Form
            onSubmit={() => {
              setTried(true);
              if (disk && (!doubt || adopt)) action.run(disk.mount);
            }}
          >
            {items.length === 0 ? (
              <Note tone="warn">
                <p>{t('disks.none')}</p>
              </Note>
            ) : (
              <Choices
                legend={t('disks.legend')}
                quiet
                value={disk ? disk.mount : null}
                onChange={(value) => {
                  setPicked(value);
                  setAdopt(false);
                  action.clear();
                }}
                options={items.map((each) => ({
                  value: each.mount,
                  disabled: each.state === 'unsuitable',
                  label: <DiskName disk={each} />,
                  hint: <DiskHint disk={each} />,
                }))}
              />
            )}
            {doubt ? <Agreement doubt={doubt} checked={adopt} onChange={setAdopt} /> : null}
            {missing ? (
              <p class="fault" role="alert">
                {missing}
              </p>
            ) : null}
            <Fault error={action.error} />
            <div class="actions">
              {props.back}
              {props.later}
              <Button type="submit" kind="primary" busy={action.busy}>
                {props.button}
              </Button>
            </div>
          </Form>
        );
      }}
    </Loaded>
  );
}

/** What is in use already, else the one disk that can be meant. */
function startWith(items: BoxDisk[]): string | null {
  const chosen = items.find((disk) => disk.chosen) ?? items.find((disk) => disk.state === 'ours');
  const usable = items.filter((disk) => disk.state === 'free' || disk.state === 'unmarked');
  return chosen?.mount ?? (usable.length === 1 ? (usable[0]?.mount ?? null) : null);
}

function DiskName({ disk }: { disk: BoxDisk }) {
  return (
    <>
      <span class="break">
        {disk.label || t('disks.unnamed', { device: disk.device.replace(/^\/dev\//, '') })}
      </span>{' '}
      {disk.chosen ? (
        <Badge tone="good">{t('disks.inUse')}</Badge>
      ) : (
        <Badge tone={TONES[disk.state]}>{t(`disks.state.${disk.state}`)}</Badge>
      )}
    </>
  );
}

function DiskHint({ disk }: { disk: BoxDisk }) {
  const facts = [
    t('disks.room', { free: formatBytes(disk.freeBytes), total: formatBytes(disk.totalBytes) }),
    disk.filesystem,
    disk.removable ? t('disks.removable') : t('disks.builtIn'),
  ];
  return (
    <>
      {facts.filter((fact) => fact !== '').join(' · ')}
      {disk.reason ? <span class="line">{whyNot(disk.reason)}</span> : null}
      {disk.fileLimitBytes !== null && disk.state !== 'unsuitable' ? (
        <span class="line">{t('disks.fileLimit', { n: formatBytes(disk.fileLimitBytes) })}</span>
      ) : null}
    </>
  );
}

/** Why a disk cannot be used, in words; a code that is newer than this page as it stands. */
function whyNot(reason: string): string {
  const key = `disks.why.${reason}`;
  return hasText(key) ? t(key as 'disks.why.system') : reason;
}
