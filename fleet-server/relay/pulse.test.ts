import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pulse } from './pulse.ts';

/** Asked every 25 s, 20 s for an answer. */
const SILENT_MS = 45_000;

function pulse() {
  let nowMs = 1_000;
  const asked: { one: string; answered: () => void }[] = [];
  const gone: string[] = [];
  const beats = new Pulse<string>({
    silentMs: SILENT_MS,
    ask: (one, answered) => asked.push({ one, answered }),
    gone: (one) => gone.push(one),
    now: () => nowMs,
  });
  return {
    beats,
    asked,
    gone,
    run(ms: number) {
      for (const end = nowMs + ms; nowMs < end; ) {
        nowMs += 1_000;
        beats.look();
      }
    },
    sleep(ms: number) {
      nowMs += ms;
      beats.look();
    },
  };
}

test('who answers is asked again, who does not is gone 45 s after it was last heard', () => {
  const { beats, asked, gone, run } = pulse();
  beats.add('quick');
  beats.add('mute');
  run(25_000);
  assert.deepEqual(
    asked.map(({ one }) => one),
    ['quick', 'mute'],
  );
  asked[0]?.answered();
  run(19_000);
  assert.deepEqual(gone, []);
  run(1_000);
  assert.deepEqual(gone, ['mute']);
  run(5_000);
  assert.deepEqual(
    asked.map(({ one }) => one),
    ['quick', 'mute', 'quick'],
  );
});

test('who was removed is neither asked nor gone', () => {
  const { beats, asked, gone, run } = pulse();
  beats.add('one');
  beats.add('two');
  beats.remove('one');
  run(25_000);
  beats.remove('two');
  run(100_000);
  assert.deepEqual(
    asked.map(({ one }) => one),
    ['two'],
  );
  assert.deepEqual(gone, []);
});

test('a process that could not run for a while blames nobody for it', () => {
  const { beats, asked, gone, run, sleep } = pulse();
  beats.add('one');
  run(25_000);
  sleep(300_000);
  assert.deepEqual(gone, []);
  asked[0]?.answered();
  run(30_000);
  assert.deepEqual(gone, []);
  run(20_000);
  assert.deepEqual(gone, ['one']);
});
