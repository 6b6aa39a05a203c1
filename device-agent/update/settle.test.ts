import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Launched, LaunchNote } from './launched.ts';
import type { Choice, Slot, UpdateRecord } from './memory.ts';
import { settle } from './settle.ts';

const slot = (version: string): Slot => ({
  sha256: version.replaceAll('.', '').padEnd(64, 'a'),
  version,
  file: `/d/${version}`,
});
const OLD = slot('1.1.0');
const NEW = slot('1.2.0');
const launched = (
  mode: Launched['mode'],
  trialNote: LaunchNote = '',
  keptNote: LaunchNote = '',
): Launched => ({
  mode,
  trialNote,
  keptNote,
  launcherPid: 1,
  packagedVersion: '1.0.0',
  runner: [],
});
const recordOf = (state: 'trial' | 'updated' | 'failed' | null): UpdateRecord => ({
  v: 1,
  highest: '1.1.0',
  before: null,
  update: state && { updateId: 'u', version: NEW.version, sha256: NEW.sha256, state, reason: null },
});

describe('what the launcher did is taken up', () => {
  const cases: [
    string,
    string,
    Launched,
    Choice,
    UpdateRecord,
    Partial<ReturnType<typeof settle>> & { state: unknown },
  ][] = [
    [
      'on trial',
      '1.2.0',
      launched('trial', 'ok'),
      { trial: NEW, kept: OLD },
      recordOf('trial'),
      { onTrial: true, state: 'trial' },
    ],
    [
      'noted and never begun',
      '1.1.0',
      launched('kept', '', 'ok'),
      { trial: null, kept: OLD },
      recordOf('trial'),
      { onTrial: false, state: undefined },
    ],
    [
      'kept and not noted',
      '1.2.0',
      launched('kept', '', 'ok'),
      { trial: null, kept: NEW },
      recordOf('trial'),
      { onTrial: false, state: 'updated' },
    ],
    [
      'crashed',
      '1.1.0',
      launched('kept', 'crashed', 'ok'),
      { trial: NEW, kept: OLD },
      recordOf('trial'),
      { choice: { trial: null, kept: OLD }, state: 'failed' },
    ],
    [
      'crashed, noted, and still in the choice',
      '1.1.0',
      launched('kept', 'crashed', 'ok'),
      { trial: NEW, kept: OLD },
      recordOf('failed'),
      { choice: { trial: null, kept: OLD }, state: 'failed' },
    ],
    [
      'hung',
      '1.0.0',
      launched('packaged', 'timeout'),
      { trial: NEW, kept: null },
      recordOf('trial'),
      { choice: { trial: null, kept: null }, state: 'failed' },
    ],
    [
      'the disk away in the middle of a trial',
      '1.0.0',
      launched('packaged', 'missing', 'missing'),
      { trial: NEW, kept: OLD },
      recordOf('trial'),
      { awaited: NEW, state: 'trial' },
    ],
    [
      'the disk away',
      '1.0.0',
      launched('packaged', '', 'missing'),
      { trial: null, kept: OLD },
      recordOf(null),
      { awaited: OLD, state: undefined },
    ],
    [
      'kept, and damaged later',
      '1.0.0',
      launched('packaged', '', 'damaged'),
      { trial: null, kept: NEW },
      recordOf('updated'),
      { choice: { trial: null, kept: null }, state: 'failed' },
    ],
    [
      'kept, and crashing later',
      '1.0.0',
      launched('packaged', '', 'crashed'),
      { trial: null, kept: NEW },
      recordOf('updated'),
      { choice: { trial: null, kept: null }, state: 'failed' },
    ],
    [
      'a newer package',
      '1.0.0',
      launched('packaged', '', 'older'),
      { trial: null, kept: OLD },
      recordOf(null),
      { choice: { trial: null, kept: null }, state: undefined },
    ],
    [
      'back to the packaged version',
      '1.0.0',
      launched('packaged'),
      { trial: null, kept: null },
      {
        ...recordOf('trial'),
        update: { updateId: 'u', version: '1.0.0', sha256: '', state: 'trial', reason: null },
      },
      { state: 'updated' },
    ],
  ];
  for (const [name, version, how, choice, record, { state, ...expected }] of cases) {
    test(name, () => {
      const settled = settle(version, how, choice, record);
      assert.equal(settled.record.update?.state, state);
      for (const [key, value] of Object.entries(expected))
        assert.deepEqual(settled[key as keyof typeof settled], value, key);
      // Whatever it is, the same start again comes to the same end.
      if (!settled.onTrial) {
        const again = settle(
          version,
          {
            ...how,
            trialNote: settled.choice.trial ? how.trialNote : '',
            keptNote: settled.choice.kept ? how.keptNote : '',
          },
          settled.choice,
          settled.record,
        );
        assert.deepEqual([again.choice, again.record], [settled.choice, settled.record]);
      }
    });
  }

  test('a newer package is the highest that was ever here', () => {
    const settled = settle(
      '2.0.0',
      { ...launched('packaged'), packagedVersion: '2.0.0' },
      { trial: null, kept: null },
      recordOf(null),
    );
    assert.equal(settled.record.highest, '2.0.0');
  });
});
