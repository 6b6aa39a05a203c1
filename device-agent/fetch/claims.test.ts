import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Claims } from './claims.ts';

const signal = new AbortController().signal;

function rig(chunks: number) {
  const missing = new Set(Array.from({ length: chunks }, (_, n) => n));
  const time = { ms: 0 };
  const claims = new Claims(missing, () => time.ms);
  const next = async (lane: string, expectedMs: number | null = 100) => {
    const claim = await claims.next(lane, expectedMs, signal);
    assert.ok(claim);
    return claim;
  };
  return { missing, time, claims, next };
}

test('each chunk goes to one source, lowest first; a failed one is free again', async () => {
  const { claims, next } = rig(3);
  const [a, b] = [await next('one'), await next('two')];
  assert.deepEqual([a.index, b.index], [0, 1]);
  claims.release(a);
  assert.equal((await next('two')).index, 0);
  assert.equal((await next('one')).index, 2);
});

test('a chunk a source is slow with is asked elsewhere too, once, when nothing else is left', async () => {
  const { missing, time, claims, next } = rig(2);
  const slow = await next('slow');
  const quick = await next('quick');
  missing.delete(quick.index);
  claims.won(quick.index, quick);
  claims.release(quick);
  // Too early: it may well come.
  let again: Awaited<ReturnType<typeof next>> | null = null;
  const asking = next('quick').then((claim) => {
    again = claim;
  });
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.equal(again, null);
  time.ms = 1_500;
  await asking;
  const second = again as unknown as typeof quick;
  assert.equal(second.index, slow.index);
  missing.delete(slow.index);
  claims.won(slow.index, second);
  assert.equal(slow.abort.signal.aborted, true);
  assert.equal(second.abort.signal.aborted, false);
  assert.equal(await claims.next('third', null, signal), null);
});

test('a body that is the whole asset goes on while others take chunks of it, until nothing is missing', async () => {
  const { missing, claims, next } = rig(2);
  const whole = await next('origin');
  whole.whole = true;
  const other = await next('box');
  missing.delete(0);
  claims.won(0, other);
  assert.equal(whole.abort.signal.aborted, false);
  missing.delete(1);
  claims.won(1, other);
  assert.equal(whole.abort.signal.aborted, true);
});

test('who waits is told when the download is stopped', async () => {
  const { claims, next } = rig(1);
  await next('one');
  const stop = new AbortController();
  const waiting = claims.next('two', null, stop.signal);
  stop.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
});
