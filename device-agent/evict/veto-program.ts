import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { folderPlace } from '#agent/disks/places.ts';
import { Disk } from '#agent/store/disk.ts';
import { diskMemoryIn } from '#agent/store/marker.ts';
import { Store } from '#agent/store/store.ts';
import { hold, MIB, manifestFor, silent } from '#agent/store/store-fixture.ts';
import { Clock } from '#agent/time/clock.ts';
import { Evictor } from './evictor.ts';

/**
 * The life of a box that ends, by SIGKILL, as the first object is put out after the fleet has vetoed another: it says
 * the ids of the vetoed asset and of the one that was to go.
 */
const [root = '', stateDir = ''] = process.argv.slice(2);
let quotaBytes = 4 * MIB;
const disk = new Disk({
  place: folderPlace(root, true),
  memory: diskMemoryIn(stateDir),
  boxId: null,
  bounds: () => ({ floorBytes: 0, quota: { unit: 'bytes', value: quotaBytes } }),
  probeMs: 20,
  stamp: () => new Date().toISOString(),
  log: silent,
});
const store = new Store(disk, silent, { settleMs: 0 });
disk.countBy(() => store.catalog.usedBytes);
await disk.start();
await store.load();
const evictor = new Evictor({
  store,
  clock: new Clock(),
  log: silent,
  propose: async ({ proposalId }) => {
    setImmediate(() =>
      evictor.verdict({ v: 1, proposalId, vetoed: [{ assetId: only.assetId, why: 'the only copy' }] }),
    );
    return true;
  },
  replan: () => undefined,
});
await evictor.recall();
const put = async (path: string) => {
  const bytes = randomBytes(MIB);
  const manifest = manifestFor(bytes, 'http://127.0.0.1/', { path });
  await hold(store, bytes, manifest);
  return manifest;
};
const only = await put('/only');
const warm = await put('/warm');
for (let n = 0; n < 3; n++) evictor.used(warm.assetId, MIB, 1);
await store.saveIndex();
store.unwant = async () => {
  writeSync(1, JSON.stringify({ only: only.assetId, warm: warm.assetId }));
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined);
};
quotaBytes = MIB;
await disk.look();
evictor.wake();
// What is waited for ends the process.
setTimeout(() => process.exit(3), 60_000);
