import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WaitReason } from '#agent/update/plan.ts';
import { UPDATE_STATES, type UpdateProgress } from '#protocol/release.ts';
import { boxEn } from './messages/en.ts';
import { updateNews } from './updates.ts';

const update = (more: Partial<UpdateProgress>): UpdateProgress => ({
  ...{ updateId: 'u-1', version: '1.4.0', state: 'waiting', bytesDone: 0, sizeBytes: 0, reason: null },
  ...more,
});
const reason = (code: string) => ({ code, message: 'said by the box' });

test('each state of an update but none is put into words', () => {
  assert.equal(updateNews(null), null);
  for (const state of UPDATE_STATES) {
    const news = updateNews(update({ state }));
    if (state === 'idle') assert.equal(news, null);
    else assert.match(news?.text ?? '', /^Version 1\.4\.0 /, state);
  }
  const half = update({ state: 'downloading', bytesDone: 1, sizeBytes: 3 });
  assert.match(updateNews(half)?.text ?? '', /33 %/);
  assert.match(updateNews(update({ state: 'downloading' }))?.text ?? '', /: 0 %/);
});

test('what it waits for, and why it failed, is said for a household', () => {
  const waits: Record<WaitReason, string> = {
    time: boxEn['update.why.time'],
    disk: boxEn['update.why.disk'],
    paused: boxEn['update.why.paused'],
    link: boxEn['update.why.link'],
    window: boxEn['update.why.window'],
  };
  for (const [code, text] of Object.entries(waits))
    assert.equal(updateNews(update({ reason: reason(code) }))?.why, text);
  const failed = (code: string) => updateNews(update({ state: 'failed', reason: reason(code) }))?.why ?? '';
  for (const code of ['origin_truncated', 'origin_unreachable', 'unavailable', 'not_found'])
    assert.equal(failed(code), boxEn['update.why.line']);
  assert.match(failed('update_crashed'), /The box went back/);
  assert.match(failed('release_expired'), /nothing for you to do/);
  // A newer agent may know codes that this page does not.
  assert.equal(failed('update_of_tomorrow'), 'said by the box');
});
