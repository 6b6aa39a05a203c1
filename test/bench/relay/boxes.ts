import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeKeyAndCsr } from '#agent/identity/csr.ts';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { boxes as boxesTable } from '#fleet/database/schema.ts';
import { newId } from '#protocol/ids.ts';
import type { RelayRig } from '#test/relay/fixture.ts';
import { LOAD_CORE } from '../measure.ts';

/** What a process of boxes tells of them. */
export interface BoxesState {
  /** Boxes with a connection now. */
  connected: number;
  /** Connections that ended so far, whoever ended them. */
  ended: number;
  /** Dials that failed, by their reason. */
  failed: Record<string, number>;
}

export interface Boxes {
  ids: string[];
  state: () => Promise<BoxesState>;
}

interface DialPlan {
  count: number;
  tunnelUrl: string;
  securePort: number | null;
  folder: string;
  running: ChildProcess[];
  processes?: number;
  onCertificates?: () => void;
}

/** Enrols boxes and has them dial, all at once; one key for all of them, since none is to be trusted. */
export async function dialBoxes(rig: RelayRig, plan: DialPlan): Promise<Boxes> {
  const { count, processes = 1, running, folder, tunnelUrl, securePort } = plan;
  const { privateKey, csr } = await makeKeyAndCsr();
  const boxes: { id: string; certificate: string }[] = [];
  for (let at = 0; at < count; at += 500) {
    const some = await Promise.all(
      Array.from({ length: Math.min(500, count - at) }, async () => {
        const id = newId('box');
        return { id, ...(await rig.keys.ca.signBox(csr, id)) };
      }),
    );
    await rig.database.db
      .insert(boxesTable)
      .values(some.map(({ id, keyFingerprint }) => ({ id, label: 'Bench', keyFingerprint })));
    boxes.push(...some.map(({ id, certificatePem }) => ({ id, certificate: certificatePem })));
  }
  plan.onCertificates?.();
  const each = Math.ceil(count / processes);
  const asked = Array.from({ length: processes }, (_, n) => {
    const file = join(folder, `boxes-${performance.now()}-${n}.json`);
    const mine = boxes.slice(n * each, (n + 1) * each);
    const caCertificate = rig.keys.ca.certificatePem;
    writeFileSync(file, JSON.stringify({ tunnelUrl, securePort, caCertificate, privateKey, boxes: mine }));
    const script = join(import.meta.dirname, 'boxes-program.ts');
    const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, script, file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    running.push(child);
    const lines = createInterface({ input: child.stdout });
    return async (): Promise<BoxesState> => {
      const line = once(lines, 'line');
      child.stdin.write('\n');
      const [text] = await line;
      return JSON.parse(String(text));
    };
  });
  const state = async () => {
    const failed: Record<string, number> = {};
    let [connected, ended] = [0, 0];
    for (const one of await Promise.all(asked.map((ask) => ask()))) {
      connected += one.connected;
      ended += one.ended;
      for (const [why, times] of Object.entries(one.failed)) failed[why] = (failed[why] ?? 0) + times;
    }
    return { connected, ended, failed };
  };
  return { ids: boxes.map(({ id }) => id), state };
}

/** Waits until the fleet counts so many boxes as connected to a relay that is there. */
export async function untilKnown(rig: RelayRig, count: number): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await rig.database.query(
        `SELECT count(*)::int AS n FROM relay_tunnels JOIN relays ON relays.id = relay_id
          WHERE seen_at > now() - interval '10 seconds'`,
      );
      return Number(row?.n) >= count || null;
    },
    'the boxes are not connected',
    { timeoutMs: 900_000 },
  );
}
