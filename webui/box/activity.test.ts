import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVITY_KINDS, type Activity } from '#protocol/http-box.ts';
import { tellActivity } from './activity.ts';

const item = (kind: Activity['kind'], detail: Activity['detail'] = {}): Activity => ({
  seq: 1,
  at: '2026-11-21T10:00:00.000Z',
  kind,
  detail,
});

test('texts are made from kind and detail', () => {
  assert.equal(tellActivity(item('asset_held', { path: '/bbb.mp4' })).text, 'Now holding /bbb.mp4');
  assert.equal(tellActivity(item('disk_state', { state: 'read_only' })).text, 'Disk: Read-only');
  assert.equal(tellActivity(item('settled', { acceptedBytes: 22_700_000 })).more, '22.7 MB accepted');
});

test('a reason is explained by its code, and shown as it is when there is none', () => {
  const failed = tellActivity(item('asset_failed', { path: '/a', code: 'disk_full', message: 'ENOSPC' }));
  assert.equal(failed.more, 'The disk is full.');
  assert.equal(tellActivity(item('offline', { reason: 'connection reset' })).more, 'connection reset');
});

test('a disk that is well again is good news', () => {
  assert.equal(tellActivity(item('disk_state', { state: 'ok' })).tone, 'good');
  assert.equal(tellActivity(item('disk_state', { state: 'absent' })).tone, 'warn');
});

test('every kind has a text without details, and no hole in it', () => {
  for (const kind of ACTIVITY_KINDS) {
    const { text } = tellActivity(item(kind));
    assert.ok(text.length > 3 && !/[{}]|undefined/.test(text), `${kind}: ${text}`);
  }
});
