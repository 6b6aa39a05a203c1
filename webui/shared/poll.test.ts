import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backOffMs, startPoll } from './poll.ts';

/** A page and a clock in the test's hands. */
function stage() {
  let hidden = false;
  let listener = () => {};
  let timer: { callback: () => void; delayMs: number } | null = null;
  const delays: number[] = [];
  return {
    delays,
    pending: () => timer !== null,
    fire() {
      const due = timer;
      timer = null;
      due?.callback();
    },
    setHidden(value: boolean) {
      hidden = value;
      listener();
    },
    options: {
      visibility: {
        hidden: () => hidden,
        subscribe(heard: () => void) {
          listener = heard;
          return () => {
            listener = () => {};
          };
        },
      },
      setTimer(callback: () => void, delayMs: number) {
        timer = { callback, delayMs };
        delays.push(delayMs);
        return timer;
      },
      clearTimer(cleared: unknown) {
        if (cleared === timer) timer = null;
      },
      random: () => 0.5,
    },
  };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('asks at once, then after each answer', async () => {
  const { options, fire, delays } = stage();
  let asked = 0;
  const poll = startPoll({
    ...options,
    intervalMs: 2000,
    onError: () => {},
    run: async () => {
      asked += 1;
    },
  });
  await settled();
  assert.equal(asked, 1);
  fire();
  await settled();
  assert.equal(asked, 2);
  assert.deepEqual(delays, [2000, 2000]);
  poll.stop();
});

test('failures are told and slow it down, an answer brings the old pace back', async () => {
  const { options, fire, delays } = stage();
  const errors: unknown[] = [];
  let broken = true;
  const poll = startPoll({
    ...options,
    intervalMs: 1000,
    onError: (error) => errors.push(error),
    run: async () => {
      if (broken) throw new Error('down');
    },
  });
  await settled();
  fire();
  await settled();
  broken = false;
  fire();
  await settled();
  assert.equal(errors.length, 2);
  assert.deepEqual(delays, [2000, 4000, 1000]);
  poll.stop();
});

test('a hidden page asks nothing, and asks at once when it is seen again', async () => {
  const { options, pending, setHidden } = stage();
  let asked = 0;
  const poll = startPoll({
    ...options,
    intervalMs: 1000,
    onError: () => {},
    run: async () => {
      asked += 1;
    },
  });
  await settled();
  setHidden(true);
  assert.equal(pending(), false);
  setHidden(false);
  await settled();
  assert.equal(asked, 2);
  poll.stop();
});

test('a page hidden while a question is on its way asks no further', async () => {
  const { options, pending, setHidden } = stage();
  let answer = () => {};
  const poll = startPoll({
    ...options,
    intervalMs: 1000,
    onError: () => {},
    run: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  });
  await settled();
  setHidden(true);
  answer();
  await settled();
  assert.equal(pending(), false);
  poll.stop();
});

test('stop aborts what runs, and nothing comes after', async () => {
  const { options, pending } = stage();
  let aborted = false;
  const errors: unknown[] = [];
  const poll = startPoll({
    ...options,
    intervalMs: 1000,
    onError: (error) => errors.push(error),
    run: (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(signal.reason);
        });
      }),
  });
  await settled();
  poll.stop();
  await settled();
  assert.ok(aborted);
  assert.equal(pending(), false);
  assert.deepEqual(errors, []);
  poll.refresh();
  await settled();
  assert.equal(pending(), false);
});

test('refresh asks now and drops the question that runs', async () => {
  const { options } = stage();
  const answers: (() => void)[] = [];
  let aborted = 0;
  const poll = startPoll({
    ...options,
    intervalMs: 1000,
    onError: () => assert.fail('an overtaken question is no failure'),
    run: (signal) =>
      new Promise((resolve, reject) => {
        answers.push(resolve);
        signal.addEventListener('abort', () => {
          aborted += 1;
          reject(signal.reason);
        });
      }),
  });
  poll.refresh();
  await settled();
  assert.equal(aborted, 1);
  assert.equal(answers.length, 2);
  poll.stop();
});

test('the wait is bounded and never below the interval', () => {
  assert.equal(backOffMs(2000, 0, 15_000, 1), 2000);
  assert.equal(backOffMs(2000, 30, 15_000, 0.5), 15_000);
  assert.equal(backOffMs(60_000, 3, 15_000, 0), 60_000);
});
