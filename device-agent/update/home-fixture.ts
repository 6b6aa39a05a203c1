import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import type { UpMessage } from '#protocol/messages.ts';
import type { UpdateOrder } from '#protocol/release.ts';
import type { BuiltArtefact } from './artefact-fixture.ts';
import { LaunchedBox } from './box-fixture.ts';
import { ReleaseFixture } from './release-fixture.ts';

const DEADLINE_MS = 120_000;

export interface Home {
  fleet: FleetFixture;
  releases: ReleaseFixture;
  box: LaunchedBox;
  boxId: string;
  /** Orders, as the fleet does: the reply is waited for. */
  order: (order: UpdateOrder | null) => Promise<void>;
  /** The first report for which it holds. */
  told: (what: (report: UpMessage<'update'>) => boolean, from?: number) => Promise<UpMessage<'update'>>;
}

/**
 * A fleet, a box that runs the packaged version, and who has released a good one.
 * @param prepare done before the box starts
 */
export async function home(
  t: TestContext,
  packaged: BuiltArtefact,
  good: BuiltArtefact,
  env: Record<string, string> = {},
  prepare: (box: LaunchedBox) => void = () => undefined,
): Promise<Home> {
  const fleet = await FleetFixture.start();
  const releases = await ReleaseFixture.start();
  const box = await LaunchedBox.make(t, {
    packaged: packaged.file,
    packagedVersion: packaged.version,
    root: releases.root,
    env: { HEARTH_FLEET_URL: fleet.url, HEARTH_CLAIM_CODE: fleet.newClaim(), ...env },
  });
  t.after(async () => {
    await box.cutPower();
    await fleet.close();
    await releases.close();
  });
  await releases.release(good);
  prepare(box);
  box.start();
  const told: Home['told'] = async (what, from = 0) => {
    try {
      return (await fleet.waitFor('update', what, from, DEADLINE_MS)).message;
    } catch (error) {
      const reports = fleet.received.filter(({ kind }) => kind === 'update').map(({ raw }) => raw);
      throw new Error(`${String(error)}\n${reports.join('\n')}\n${box.tail()}`);
    }
  };
  const first = await told(() => true);
  assert.equal(first.version, '1.0.0', box.tail());
  const { boxId } = await fleet.waitFor('hello');
  const order = async (wanted: UpdateOrder | null) => {
    const outcome = await fleet.command(boxId, { type: 'update', order: wanted });
    assert.equal(outcome.ok, true, JSON.stringify(outcome));
  };
  return { fleet, releases, box, boxId, order, told };
}

/** The update of this id has come to an end. */
export const ended = (updateId: string) => (report: UpMessage<'update'>) =>
  report.update?.updateId === updateId && ['updated', 'failed'].includes(report.update.state);
