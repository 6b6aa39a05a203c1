import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BoxStatus, LINK_STATES } from '#protocol/http-box.ts';
import { DISK_STATES } from '#protocol/messages.ts';
import { headline } from './headline.ts';
import { boxEn } from './messages/en.ts';

type Parts = Parameters<typeof headline>[0];

function box(change: {
  link?: Partial<BoxStatus['link']>;
  disk?: Partial<BoxStatus['disk']>;
  serving?: Partial<BoxStatus['serving']>;
  holding?: Partial<BoxStatus['holding']>;
}): Parts {
  return {
    link: {
      state: 'online',
      since: '2026-11-21T00:00:00.000Z',
      problem: null,
      fleetUrl: null,
      refusedMessages: 0,
      ...change.link,
    },
    disk: {
      state: 'ok',
      path: '/mnt',
      totalBytes: 10,
      freeBytes: 5,
      usedBytes: 2,
      id: null,
      problem: null,
      ejected: false,
      ...change.disk,
    },
    serving: {
      connections: 0,
      bytesPerSecond: 0,
      bytesToday: 0,
      requestsToday: 0,
      contentUrl: 'http://192.0.2.1',
      ...change.serving,
    },
    holding: { held: 3, downloading: 0, queued: 0, failed: 0, bytes: 9, ...change.holding },
  };
}

test('a box that is well says so', () => {
  assert.deepEqual(headline(box({})), { name: 'earning', fire: 'lit', reason: null });
  assert.equal(headline(box({ serving: { connections: 2, bytesPerSecond: 1000 } })).name, 'serving');
  assert.equal(headline(box({ holding: { held: 0 } })).name, 'waiting');
  assert.equal(headline(box({ holding: { downloading: 1 } })).name, 'downloading');
});

test('pairing comes before everything, a missing disk before a missing connection', () => {
  assert.equal(headline(box({ link: { state: 'unpaired' }, disk: { state: 'absent' } })).name, 'unpaired');
  assert.equal(headline(box({ link: { state: 'offline' }, disk: { state: 'absent' } })).name, 'absent');
});

test('a full or slow disk does not hide that the box is offline', () => {
  assert.equal(headline(box({ link: { state: 'offline' }, disk: { state: 'full' } })).name, 'offline');
  assert.equal(headline(box({ disk: { state: 'full' } })).name, 'full');
  assert.equal(headline(box({ disk: { state: 'slow' } })).name, 'slow');
});

test("the box's own reason is passed on", () => {
  const told = headline(box({ link: { state: 'offline', problem: 'no route' } }));
  assert.equal(told.reason, 'no route');
  assert.equal(told.fire, 'cold');
});

test('every state of link and disk has a headline with words', () => {
  for (const link of LINK_STATES) {
    for (const disk of DISK_STATES) {
      const { name } = headline(box({ link: { state: link }, disk: { state: disk } }));
      assert.ok(`head.${name}.title` in boxEn && `head.${name}.text` in boxEn, `${link} ${disk}`);
    }
  }
});
