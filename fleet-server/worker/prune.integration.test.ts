import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addAsset, addBox, addSite, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { newId } from '#protocol/ids.ts';
import { KEPT_DAYS, prune } from './prune.ts';

test('what is over goes after its age, in batches; what is open, young, or still needed stays', async (t) => {
  const own = await fleetDatabase();
  t.after(() => own.close());
  const boxId = await addBox(own.db);
  const { siteId } = await addSite(own.db);
  const { assetId: asset } = await addAsset(own.db, siteId, '/a');
  const [question] = await own.query(
    "INSERT INTO spot_challenges (asset_id, sha256, chunk_index, nonce, proof) VALUES ($1, 'h', 0, 'n', 'p') RETURNING id",
    [asset],
  );
  const command = async (state: string, endedDays: number | null, expiresDays: number) => {
    const id = newId('cmd');
    await own.query(
      `INSERT INTO commands (id, box_id, type, subject, body, state, created_at, ended_at, expires_at)
       VALUES ($1, $2, 'index', $1, '{}', $3, now() - interval '400 days',
         now() - $4 * interval '1 day', now() - $5 * interval '1 day')`,
      [id, boxId, state, endedDays, expiresDays],
    );
    return id;
  };
  const check = async (commandId: string, outcome: string, days: number, challenge: unknown = null) => {
    await own.query(
      `INSERT INTO spot_checks (command_id, box_id, asset_id, sha256, chunk_index, challenge_id, proof, asked_at, deadline, outcome)
       VALUES ($1, $2, $3, 'h', 0, $4, 'p', now() - $5 * interval '1 day', now(), $6)`,
      [commandId, boxId, asset, challenge, days, outcome],
    );
    return commandId;
  };
  const session = (name: string, days: number) =>
    own.query(
      `INSERT INTO away_sessions (secret_hash, box_id, key_sha256, client, created_at)
       VALUES (sha256($1::text::bytea), $2, 'k', $1, now() - $3 * interval '1 day')`,
      [name, boxId, days],
    );
  const { commands, spotChecks, awaySessions } = KEPT_DAYS;
  for (let n = 0; n < 7; n++) await command(n % 2 ? 'done' : 'refused', commands + 1, commands + 2);
  // Nobody has come to fetch it, and nobody will.
  await command('sent', null, commands + 1);
  const young = await command('void', commands - 1, commands - 1);
  const open = await command('pending', null, -7);
  // Ended long after it was made, and long before it would have expired.
  const late = await command('done', 1, -1);
  const stays = [
    await check(await command('done', commands + 1, commands + 1), 'failed', spotChecks - 1),
    await check(late, 'passed', spotChecks + 1, question?.id),
    await check(young, 'waiting', spotChecks + 1),
  ];
  await check(open, 'passed', spotChecks + 1);
  // Its question is gone with the bytes it was about.
  await check(newId('cmd'), 'late', spotChecks + 1, '999999');
  await session('old', awaySessions + 1);
  await session('new', awaySessions - 1);

  const stopped = new AbortController();
  stopped.abort();
  assert.deepEqual(await prune(own.db, stopped.signal), { commands: 0, spotChecks: 0, awaySessions: 0 });
  // Two processes at once.
  const { signal } = new AbortController();
  const [one, two] = await Promise.all([prune(own.db, signal, 2), prune(own.db, signal, 2)]);
  // What one has locked the other leaves to it.
  const rest = await prune(own.db, signal);
  const sum = (of: keyof typeof one) => one[of] + two[of] + rest[of];
  assert.deepEqual([sum('commands'), sum('spotChecks'), sum('awaySessions')], [9, 2, 1]);
  const ids = async (query: string) => (await own.query(query)).map((row) => Object.values(row)[0]).sort();
  assert.deepEqual(await ids('SELECT id FROM commands'), [young, open, late].sort());
  assert.deepEqual(await ids('SELECT command_id FROM spot_checks'), [...stays].sort());
  assert.deepEqual(await ids('SELECT client FROM away_sessions'), ['new']);
});
