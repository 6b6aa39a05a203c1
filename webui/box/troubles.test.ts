import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskReason } from '#agent/store/disk-place.ts';
import { type BoxStatus, LINK_STATES } from '#protocol/http-box.ts';
import { DISK_STATES } from '#protocol/messages.ts';
import { boxEn } from './messages/en.ts';
import { headline, TROUBLES, troublesOf } from './troubles.ts';

type Parts = Parameters<typeof headline>[0];

function box(change: {
  link?: Partial<BoxStatus['link']>;
  disk?: Partial<BoxStatus['disk']>;
  serving?: Partial<BoxStatus['serving']>;
  holding?: Partial<BoxStatus['holding']>;
  uplink?: Partial<BoxStatus['uplink']>;
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
      floorBytes: 1,
      usedBytes: 2,
      id: null,
      reason: null,
      problem: null,
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
    uplink: { accepting: true, pausedForMs: null, monthUsedUp: false, ...change.uplink },
  };
}

test('a box that is well says so, and there is nothing to do', () => {
  assert.deepEqual(headline(box({})), {
    name: 'earning',
    fire: 'lit',
    reason: null,
    remedy: null,
    others: [],
  });
  assert.equal(headline(box({ serving: { connections: 2, bytesPerSecond: 1000 } })).name, 'serving');
  assert.equal(headline(box({ holding: { held: 0 } })).name, 'waiting');
  assert.equal(headline(box({ holding: { downloading: 1 } })).name, 'downloading');
});

test('pairing comes before everything and alone; a missing disk before a missing connection', () => {
  const unpaired = headline(box({ link: { state: 'unpaired' }, disk: { state: 'absent' } }));
  assert.equal(unpaired.name, 'unpaired');
  assert.deepEqual(unpaired.remedy, { press: 'pair' });
  assert.deepEqual(unpaired.others, []);
  const both = headline(box({ link: { state: 'offline' }, disk: { state: 'absent' } }));
  assert.equal(both.name, 'absent');
  assert.deepEqual(both.others, ['offline']);
});

test('what the household did comes before what happened, each with the way back', () => {
  const paused = headline(box({ uplink: { pausedForMs: 60_000 }, disk: { state: 'full' } }));
  assert.equal(paused.name, 'paused');
  assert.deepEqual(paused.remedy, { press: 'resume' });
  assert.deepEqual(paused.others, ['full']);
  const ejected = headline(box({ disk: { state: 'absent', reason: 'ejected' } }));
  assert.equal(ejected.name, 'ejected');
  assert.deepEqual(ejected.remedy, { press: 'attach' });
});

test('a box for which no disk was picked asks for one, one whose disk went asks for that', () => {
  assert.equal(headline(box({ disk: { state: 'absent', reason: 'none_chosen' } })).name, 'nodisk');
  assert.equal(headline(box({ disk: { state: 'absent' } })).name, 'absent');
  const unmarked = headline(box({ disk: { state: 'absent', reason: 'unmarked' } }));
  assert.equal(unmarked.name, 'unmarked');
  assert.deepEqual(unmarked.remedy, { page: 'storage' });
});

test('a used up month does not hide that the box is offline; it leads to where it can be changed', () => {
  const used = { monthUsedUp: true, accepting: false };
  assert.equal(headline(box({ link: { state: 'offline' }, uplink: used })).name, 'offline');
  const told = headline(box({ uplink: used }));
  assert.equal(told.name, 'monthUsedUp');
  assert.deepEqual(told.remedy, { page: 'network' });
});

test("the box's own reason is passed on", () => {
  const offline = headline(box({ link: { state: 'offline', problem: 'no route' } }));
  assert.equal(offline.reason, 'no route');
});

/** All of them: a new one without words is a type error here. */
const DISK_REASONS: Record<DiskReason, true> = {
  not_looked_at: true,
  none_chosen: true,
  not_plugged: true,
  not_mounted: true,
  unmarked: true,
  ejected: true,
  letting_go: true,
  other_box: true,
  marker_damaged: true,
  read_only: true,
  below_floor: true,
  over_quota: true,
  no_room: true,
  in_the_way: true,
  io_error: true,
  io_errors: true,
  not_answering: true,
  slow_answers: true,
  slow_io: true,
};

test('every reason of a disk has words', () => {
  for (const reason of Object.keys(DISK_REASONS)) {
    const own = reason === 'ejected' || reason === 'none_chosen';
    assert.ok(own || `disk.why.${reason}` in boxEn, reason);
  }
});

test('every state of link and disk has words, and every trouble is found in one of them', () => {
  const seen = new Set<string>();
  for (const link of LINK_STATES) {
    for (const disk of DISK_STATES) {
      for (const change of [
        { disk: { state: disk } },
        { disk: { state: disk, reason: 'none_chosen' } },
        { disk: { state: disk, reason: 'ejected' } },
        { disk: { state: disk, reason: 'unmarked' } },
        { disk: { state: disk }, uplink: { pausedForMs: 1 } },
        { disk: { state: disk }, uplink: { monthUsedUp: true } },
      ]) {
        const status = box({ ...change, link: { state: link } });
        for (const each of troublesOf(status)) seen.add(each);
        const { name } = headline(status);
        assert.ok(`head.${name}.title` in boxEn && `head.${name}.text` in boxEn, name);
      }
    }
  }
  assert.deepEqual([...seen].sort(), [...TROUBLES].sort());
});
