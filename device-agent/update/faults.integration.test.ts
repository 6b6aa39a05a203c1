import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { latch } from '#agent/link/fleet-fixture.ts';
import { MIB } from '#agent/store/store-fixture.ts';
import type { Architecture } from '#protocol/release.ts';
import { buildArtefact, HERE, useArtefacts } from './artefact-fixture.ts';
import type { Home } from './home-fixture.ts';
import { ended, home } from './home-fixture.ts';

const built = useArtefacts();

const slots = ({ box }: Home) => path.join(box.disk, 'hearth', 'update');
const ELSEWHERE: Architecture = HERE === 'armv7' ? 'arm64' : 'armv7';

/** Why a box waited on its way to an update, in order; each time it ran what it ran before. */
function troubles({ fleet }: Home, updateId: string): string[] {
  return fleet.received.flatMap(({ kind, message }) => {
    if (kind !== 'update' || !('update' in message) || message.update?.updateId !== updateId) return [];
    const { state, reason } = message.update;
    if (state !== 'waiting' || !reason || /^(time|link)$/.test(reason.code)) return [];
    assert.equal(message.version, '1.0.0');
    return [reason.code];
  });
}

describe('an artefact on its way', () => {
  test('cut off, altered, or too long is told of and fetched again, until it comes right', async (t) => {
    const house = await home(t, built.packaged, built.good);
    const { releases, box, order, told } = house;
    releases.faults.push({ breakAfter: 100_000 }, 'altered', 'longer', 'endless');
    await order(releases.order('u-1', '1.1.0'));
    const report = await told(ended('u-1'));
    assert.deepEqual([report.version, report.update?.state], ['1.1.0', 'updated'], box.tail());
    assert.deepEqual(troubles(house, 'u-1'), ['origin_truncated', 'artefact_mismatch', 'origin_changed']);
    const [first, second, third, , ...more] = releases.asked.map(({ range }) => range);
    const last = built.good.sizeBytes - 1;
    assert.equal(first, `bytes=0-${last}`);
    // It goes on where it was broken off, and what was wrong is fetched anew.
    assert.match(second ?? '', new RegExp(`^bytes=[1-9]\\d*-${last}$`));
    assert.equal(third, first);
    assert.deepEqual(more, []);
    assert.deepEqual(readdirSync(slots(house)), [`${built.good.sha256}.cjs`]);
  });

  const skip = process.getuid?.() !== 0 && 'needs root, to mount a small disk';
  test('that does not fit on the disk waits until it does', { skip }, async (t) => {
    let mounted = '';
    try {
      const house = await home(t, built.packaged, built.good, {}, ({ disk }) => {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0755', 'tmpfs', disk]);
        mounted = disk;
      });
      const { releases, box, order, told, fleet } = house;
      const ballast = path.join(box.disk, 'holiday.mkv');
      // Full in the middle of it: the system says so, whatever was counted before.
      const goOn = latch();
      releases.faults.push({ heldUntil: goOn.promise });
      await order(releases.order('u-1', '1.1.0'));
      await told(({ update }) => update?.state === 'downloading');
      await assert.rejects(writeFile(ballast, Buffer.alloc(65 * MIB)), { code: 'ENOSPC' });
      const from = fleet.received.length;
      goOn.done();
      const full = await told(({ update }) => update?.state === 'waiting', from);
      assert.deepEqual([full.version, full.update?.reason?.code], ['1.0.0', 'disk_full'], box.tail());
      await rm(ballast);
      const report = await told(ended('u-1'), from);
      assert.deepEqual([report.version, report.update?.state], ['1.1.0', 'updated'], box.tail());
    } finally {
      // Before its folder is removed.
      if (mounted !== '') execFileSync('umount', ['-l', mounted]);
    }
  });
});

test('a box goes to nothing that is not fresh, signed, newer, whole and for its processor', async (t) => {
  const house = await home(t, built.packaged, built.good);
  const { releases, box, order, told } = house;
  let orders = 0;
  const refuses = async (version: string, code: string) => {
    const updateId = `u-${++orders}`;
    await order(releases.order(updateId, version));
    const { update, version: runs } = await told(ended(updateId));
    const { state, reason } = update ?? {};
    assert.deepEqual([runs, state, reason?.code], ['1.0.0', 'failed', code], `${version}\n${box.tail()}`);
  };
  releases.sign({ expiresMs: Date.now() - 1000 });
  await refuses('1.1.0', 'release_expired');
  const { key } = releases;
  releases.sign({ key: releases.newKey() });
  await refuses('1.1.0', 'release_signature');
  releases.sign({ key });
  releases.faults.push('altered', 'altered', 'altered');
  await refuses('1.1.0', 'artefact_mismatch');
  assert.equal(releases.asked.length, 3);
  // An old signature over an old list, shown again to hide what came since.
  releases.sign({ version: 1 });
  await refuses('1.1.0', 'release_rollback');
  await releases.release(await buildArtefact(built.folder, '0.9.0'));
  releases.sign({ version: 20 });
  await refuses('0.9.0', 'release_rollback');
  await releases.release(await buildArtefact(built.folder, '1.2.0'), { minimumFrom: '1.1.0' });
  await refuses('1.2.0', 'release_unsuitable');
  // Released for another processor alone; and one that was built for another, signed as if it were for this.
  const other = await buildArtefact(built.folder, '1.3.0', 'none', ELSEWHERE);
  await releases.release(other, { architecture: ELSEWHERE });
  await refuses('1.3.0', 'release_unsuitable');
  assert.equal(releases.asked.length, 3);
  await releases.release(other);
  await refuses('1.3.0', 'update_unrunnable');
  await refuses('1.4.0', 'release_unsuitable');
});

test('a version that is ready waits for the hours the rollout gives', async (t) => {
  const house = await home(t, built.packaged, built.good);
  const { releases, box, order, told } = house;
  // The box's day is UTC's. Hours away from now on both sides, or around it: a test may run over the hour.
  const hour = new Date().getUTCHours();
  const hours = (from: number, to: number) => ({
    fromHour: (hour + from) % 24,
    toHour: (hour + to) % 24,
  });
  await order(releases.order('u-1', '1.1.0', hours(6, 9)));
  const waits = await told(({ update }) => update?.state === 'waiting' && update.reason?.code === 'window');
  assert.equal(waits.version, '1.0.0');
  assert.deepEqual(readdirSync(slots(house)), [`${built.good.sha256}.cjs`]);
  await order(releases.order('u-2', '1.1.0', hours(23, 3)));
  const report = await told(ended('u-2'));
  assert.deepEqual([report.version, report.update?.state], ['1.1.0', 'updated'], box.tail());
  assert.equal(releases.asked.length, 1);
});
