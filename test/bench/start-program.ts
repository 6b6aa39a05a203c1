import pino from 'pino';
import { folderPlace } from '#agent/disks/places.ts';
import { ContentServer } from '#agent/serve/content-server.ts';
import { CONTENT_LIMITS } from '#agent/serve/limits.ts';
import { ServingMeter } from '#agent/serve/meter.ts';
import { TokenGate } from '#agent/serve/token-gate.ts';
import { Disk } from '#agent/store/disk.ts';
import { diskMemoryIn } from '#agent/store/marker.ts';
import { Store } from '#agent/store/store.ts';
import { Clock } from '#agent/time/clock.ts';
import { Shaper } from '#shaping/shaper.ts';

/**
 * `start-program.ts <disk> <state> <boxId> <key>`: the agent's store and content server on a disk, in the order in
 * which the agent starts them. Tells its parent the port, and when all manifests are read; any message ends it.
 */
const [root = '', stateDir = '', boxId = '', key = ''] = process.argv.slice(2);
const log = pino({ level: 'silent' });
const clock = new Clock();
const disk = new Disk({
  place: folderPlace(root, true),
  memory: diskMemoryIn(stateDir),
  boxId,
  bounds: () => ({ floorBytes: 0, quota: null }),
  probeMs: 5_000,
  stamp: () => clock.stamp(),
  log,
});
const store = new Store(disk, log);
const tokens = new TokenGate();
tokens.configure(boxId, Buffer.from(key, 'hex'));
const content = new ContentServer({
  store,
  tokens,
  meter: new ServingMeter(clock),
  clock,
  log,
  limits: CONTENT_LIMITS,
  boxId: () => boxId,
  routerUrl: () => 'http://router.test/',
  up: new Shaper(),
  accepting: () => true,
  ageSeconds: () => 0,
  onDelivered: () => undefined,
  onReadFailed: () => undefined,
});
store.on((event) => {
  if (event.type === 'loaded') process.send?.({ loaded: store.catalog.assetCount });
});
process.once('message', async () => {
  await content.drain(0);
  await store.close();
  await disk.close();
  process.disconnect();
});
process.send?.({ port: await content.listen(0, '127.0.0.1') });
await disk.start();
await store.load();
