import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { relayedContentUrl } from '#protocol/relay.ts';
import { testPort } from '#test/support/system.ts';
import type { RigBox } from './fixture.ts';
import { relayRig } from './fixture.ts';

const BOXES = 300;
const AT_ONCE = 16;

test('hundreds of boxes that come back at once to a relay that was killed: all are there again, and answer', {
  timeout: 300_000,
}, async (t) => {
  const rig = await relayRig(t);
  const env = {
    HEARTH_RELAY_TUNNEL_PORT: String(await testPort()),
    HEARTH_RELAY_PORT: String(await testPort()),
  };
  const first = await rig.relayProcess(env);
  const boxes: RigBox[] = [];
  for (let at = 0; at < BOXES; at += 20) {
    const some = Array.from({ length: 20 }, () =>
      rig.box({
        onRequest: (stream) => {
          stream.respond({ ':status': 200 });
          stream.end('here');
        },
      }),
    );
    boxes.push(...(await Promise.all(some)));
  }
  const allAt = (what: string) =>
    waitFor(
      async () => {
        // Of the relay that is there now: what one that was killed held is written for a while yet.
        const rows = await rig.database.query(
          'SELECT 1 FROM relay_tunnels WHERE relay_id = (SELECT id FROM relays ORDER BY started_at DESC LIMIT 1)',
        );
        return rows.length === BOXES || null;
      },
      () =>
        `not all boxes are connected ${what}: ${boxes.flatMap(({ tunnels }) => tunnels.problems)[0]?.problem}`,
      { timeoutMs: 120_000 },
    );
  const silent = async (publicUrl: string) => {
    const queue = [...boxes];
    const bad: string[] = [];
    const ask = async () => {
      for (let box = queue.pop(); box; box = queue.pop()) {
        const answer = await fetch(`${relayedContentUrl(publicUrl, box.id)}/x`);
        if (answer.status !== 200 || (await answer.text()) !== 'here')
          bad.push(`${box.id}: ${answer.status}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
    return bad;
  };
  // All at the same moment, more than are begun with at once from one address.
  for (const { tunnels } of boxes) tunnels.use([first.tunnelUrl]);
  await allAt('at first');
  assert.deepEqual(await silent(first.publicUrl), []);
  await first.program.kill();
  await waitFor(
    async () => boxes.every(({ tunnels }) => tunnels.connected.length === 0) || null,
    'a box has not noticed that its relay died',
    { timeoutMs: 60_000 },
  );
  const second = await rig.relayProcess(env);
  await allAt('again');
  assert.deepEqual(await silent(second.publicUrl), []);
});
