import { createHash } from 'node:crypto';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Told } from './logged.ts';

/**
 * An ordinary client on one of the machines: `node client-program.ts <url at the router> <host>`. It downloads what the
 * router leads to; broken off, it asks the router again and goes on by Range.
 */
const [url = '', host = ''] = process.argv.slice(2);
/** A client's own patience with a server that sends nothing, ms. */
const STALLED_MS = 3_000;
/** Told once so much is there: a download under way. */
const BEGUN_BYTES = 1_000_000;

const tell = (told: Told) => process.stdout.write(`${JSON.stringify(told)}\n`);
const hash = createHash('sha256');
let size = 0;

function get(target: string, headers: http.OutgoingHttpHeaders): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.get(target, { headers, agent: false }, resolve);
    request.setTimeout(STALLED_MS, () => request.destroy(new Error('no byte in time')));
    request.once('error', reject);
  });
}

/** @returns whether it is whole; throws when it was broken off */
async function goOn(): Promise<boolean> {
  const led = await get(url, { host });
  led.resume();
  const { location } = led.headers;
  if (led.statusCode !== 302 || !location) throw new Error(`the router answers ${led.statusCode}`);
  tell({ what: 'from', from: new URL(location).host });
  const answer = await get(location, { range: `bytes=${size}-` });
  const total = /\/(\d+)$/.exec(answer.headers['content-range'] ?? '')?.[1];
  if (answer.statusCode !== 206 || total === undefined) {
    answer.resume();
    throw new Error(`status ${answer.statusCode}`);
  }
  for await (const piece of answer) {
    const before = size;
    hash.update(piece as Buffer);
    size += (piece as Buffer).length;
    if (before < BEGUN_BYTES && size >= BEGUN_BYTES) tell({ what: 'begun' });
  }
  return size === Number(total);
}

for (;;) {
  const whole = await goOn().catch((error: unknown) => {
    tell({ what: 'broken', why: String(error) });
    return false;
  });
  if (whole) break;
  await sleep(500);
}
tell({ what: 'done', sha256: hash.digest('hex') });
process.exit(0);
