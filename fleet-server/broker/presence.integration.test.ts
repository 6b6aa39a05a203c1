import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { endSilent, silentAfterMs } from '#fleet/boxes/silence.ts';
import { addBox, type FleetDatabase, fleetDatabase } from '#fleet/testing/fleet-database.ts';
import { until } from '#fleet/testing/fleet-fixture.ts';
import { Presence } from './presence.ts';

const BROKER = 'mqtts://broker.test:8883';
let own: FleetDatabase;
before(async () => {
  own = await fleetDatabase();
});
after(() => own?.close());

const online = async (boxId: string) =>
  (await own.query('SELECT online FROM boxes WHERE id = $1', [boxId]))[0]?.online;
const hello = () => ({ bootId: randomUUID(), agentVersion: 'test' });

test('who left while the database was away is offline once it is back', async () => {
  const presence = new Presence(own.db, BROKER, pino({ level: 'silent' }), 50);
  const [left, returned] = [await addBox(own.db), await addBox(own.db)];
  await presence.online(left, hello());
  await presence.online(returned, hello());
  await own.query('ALTER TABLE boxes RENAME TO boxes_away');
  await assert.rejects(presence.offline(left));
  await assert.rejects(presence.offline(returned));
  await assert.rejects(presence.online(returned, hello()));
  await own.query('ALTER TABLE boxes_away RENAME TO boxes');
  await until('offline', async () => (await online(left)) === false);
  assert.equal(await online(returned), true);
  await presence.close();
});

test('a box that fell silent with its broker is taken for offline', async () => {
  const now = new Date();
  const seen = (agoMs: number) => ({ online: true, lastSeenAt: new Date(now.getTime() - agoMs) });
  const silent = await addBox(own.db, seen(silentAfterMs(1000) + 1));
  const heard = await addBox(own.db, seen(silentAfterMs(1000) - 1));
  assert.equal(await endSilent(own.db, 1000, now), 1);
  assert.deepEqual([await online(silent), await online(heard)], [false, true]);
});
