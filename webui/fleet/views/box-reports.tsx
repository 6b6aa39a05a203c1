import type { BoxDetail } from '#protocol/http-fleet.ts';
import { Bar } from '../../shared/components/bars.tsx';
import { Badge, Card, Fact, type Tone, When } from '../../shared/components/basics.tsx';
import { formatBytes, formatNumber } from '../../shared/format.ts';
import { answerText } from '../answer.ts';
import { hasText, t } from '../text.ts';

export function Hardware({ hardware }: { hardware: BoxDetail['hardware'] }) {
  return (
    <Card title={t('box.hardware')}>
      {hardware === null ? (
        <p class="soft">{t('box.hardware.none')}</p>
      ) : (
        <dl class="facts">
          <Fact label={t('box.machine')}>
            {[hardware.machine.manufacturer, hardware.machine.model].filter(Boolean).join(' ') ||
              t('common.unknown')}
          </Fact>
          <Fact label={t('box.os')}>
            {[hardware.machine.os, hardware.machine.kernel, hardware.machine.arch].filter(Boolean).join(', ')}
          </Fact>
          <Fact label={t('box.cpu')}>
            {t('box.cpu.text.n', { model: hardware.cpu.model, n: formatNumber(hardware.cpu.cores) })}
          </Fact>
          <Fact label={t('box.ram')}>{formatBytes(hardware.memoryBytes)}</Fact>
          {hardware.disks.map((disk) => (
            <Fact key={disk.mount} label={disk.mount || t('box.disk')}>
              {t('box.diskText', {
                name: [disk.label || disk.name, disk.filesystem].filter(Boolean).join(', '),
                free: formatBytes(disk.freeBytes),
                total: formatBytes(disk.totalBytes),
              })}{' '}
              {disk.chosen ? <Badge tone="good">{t('box.diskChosen')}</Badge> : null}
            </Fact>
          ))}
          {hardware.network.length > 0 ? (
            <Fact label={t('box.network')}>
              {hardware.network
                .map((each) => (each.speedMbps ? `${each.name} (${each.speedMbps} Mbit/s)` : each.name))
                .join(', ')}
            </Fact>
          ) : null}
        </dl>
      )}
    </Card>
  );
}

const CHECK_TONES: Record<BoxDetail['spotChecks'][number]['outcome'], Tone> = {
  waiting: 'plain',
  passed: 'good',
  failed: 'bad',
  late: 'warn',
};

/** What the fleet checked by surprise, and what the box checked by itself. */
export function Checks({ box }: { box: BoxDetail }) {
  const { spotChecks, integrity } = box;
  const passed = spotChecks.filter((check) => check.outcome === 'passed').length;
  const failed = spotChecks.filter((check) => check.outcome === 'failed' || check.outcome === 'late').length;
  const sum = t('check.sum.n', { n: formatNumber(passed), failed: formatNumber(failed) });
  return (
    <div class="grid two">
      <Card title={t('box.checks')}>
        {spotChecks.length === 0 ? (
          <p class="soft">{t('box.checks.none')}</p>
        ) : (
          <>
            {passed + failed === 0 ? null : (
              <>
                <Bar
                  label={sum}
                  parts={[
                    { value: passed, ink: 'good' },
                    { value: failed, ink: 'bad' },
                  ]}
                  total={spotChecks.length}
                />
                <p class="small soft">{sum}</p>
              </>
            )}
            <ul class="list">
              {spotChecks.slice(0, 8).map((check) => (
                <li key={`${check.at} ${check.chunkIndex}`}>
                  <div class="small">
                    {t('check.piece', {
                      n: formatNumber(check.chunkIndex + 1),
                      sha: `${check.sha256.slice(0, 8)}…`,
                    })}
                    <br />
                    <span class="soft">
                      <When at={check.at} />
                    </span>
                  </div>
                  <Badge tone={CHECK_TONES[check.outcome]}>{t(`check.${check.outcome}`)}</Badge>
                </li>
              ))}
            </ul>
          </>
        )}
      </Card>
      <Card title={t('box.integrity')}>
        {integrity === null ? (
          <p class="soft">{t('box.integrity.none')}</p>
        ) : (
          <>
            <Bar
              label={`${integrity.checkedChunks} / ${integrity.totalChunks}`}
              parts={[
                { value: integrity.checkedChunks - integrity.damagedChunks, ink: 'good' },
                { value: integrity.damagedChunks, ink: 'bad' },
              ]}
              total={integrity.totalChunks}
            />
            <p>
              {t(integrity.finished ? 'box.integrity.done' : 'box.integrity.running', {
                checked: formatNumber(integrity.checkedChunks),
                total: formatNumber(integrity.totalChunks),
              })}
            </p>
            {integrity.damagedChunks > 0 ? (
              <p>{t('box.integrity.damaged', { n: formatNumber(integrity.damagedChunks) })}</p>
            ) : null}
            <p class="soft small">
              <When at={integrity.at} />
            </p>
          </>
        )}
      </Card>
    </div>
  );
}

const COMMAND_TONES: Record<BoxDetail['commands'][number]['state'], Tone> = {
  pending: 'plain',
  sent: 'live',
  done: 'good',
  refused: 'bad',
  void: 'plain',
};

export function Commands({ commands }: { commands: BoxDetail['commands'] }) {
  return (
    <Card title={t('box.commands')}>
      {commands.length === 0 ? (
        <p class="soft">{t('box.commands.none')}</p>
      ) : (
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t('box.command.what')}</th>
              <th scope="col">{t('table.state')}</th>
              <th scope="col">{t('box.command.attempts')}</th>
              <th scope="col">{t('table.when')}</th>
              <th scope="col">{t('box.command.answer')}</th>
            </tr>
          </thead>
          <tbody>
            {commands.map((command) => (
              <tr key={command.id}>
                <td class="lead">{commandText(command.type)}</td>
                <td data-label={t('table.state')}>
                  <Badge tone={COMMAND_TONES[command.state]}>{t(`command.${command.state}`)}</Badge>
                </td>
                <td data-label={t('box.command.attempts')} class="nowrap">
                  {t('box.command.attempts.n', { n: formatNumber(command.attempts) })}
                </td>
                <td data-label={t('table.when')} class="nowrap">
                  <When at={command.createdAt} />
                </td>
                <td class="small break" data-label={command.detail ? t('box.command.answer') : undefined}>
                  {answerText(command.detail)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}

function commandText(type: string): string {
  const key = `command.type.${type}`;
  return hasText(key) ? t(key as 'command.type.cache') : type;
}
