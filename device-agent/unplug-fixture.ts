import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskKind } from '#agent/disks/disk-fixture.ts';
import { cannotMake, TestDisk } from '#agent/disks/disk-fixture.ts';
import { OriginFixture } from '#agent/fetch/origin-fixture.ts';
import { FleetFixture } from '#agent/link/fleet-fixture.ts';
import { DiskLayout } from '#agent/store/layout.ts';
import { MIB, manifestFor, tempFolder, until } from '#agent/store/store-fixture.ts';
import { encodePath, handBackLink } from '#protocol/content-url.ts';
import { messageOf } from '#protocol/errors.ts';
import type { AgentProcess } from './agent-fixture.ts';
import { killAgents, startAgent } from './agent-fixture.ts';

/** As shipped: how soon a disk is noticed, and what else is done then, is part of what is tested. */
export const AS_SHIPPED = { HEARTH_DISK_PROBE_MS: '3000', HEARTH_CHECK_BYTES_PER_SECOND: '4000000' };
/** Plugged in again, it is served from within this. */
const AGAIN_MS = 5_000;
const CYCLES = 10;
/** Objects that are read slowly, so that they are under way when the disk goes. */
const LARGE = 4;
/** All of them are far more than fits in memory: sockets take a few MiB, the agent keeps 32. */
const LARGE_BYTES = 24 * MIB;
const SLOWLY = 2 * MIB;
const MOST_GROWTH_BYTES = 24 * MIB;

/** How one response ended: its body whole, cut off in the middle, or a redirect in its place. */
type End = 'whole' | 'cut' | 'redirect';

/** What a client asks for, what it must get, and where it is to be sent when it cannot have it. */
interface Wish {
  url: string;
  bytes: Buffer;
  backAt: string;
}

/** A client that asks for one thing again and again, compares every byte it gets, and remembers how answers ended. */
class Client {
  readonly #wish: Wish;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly ends: Record<End, number> = { whole: 0, cut: 0, redirect: 0 };
  /** Bytes taken a second; infinite: as fast as they come. */
  bytesPerSecond: number;
  /** Of the response under way; null between two. */
  received: number | null = null;
  /** When the first byte of a body was last received, by performance.now(). */
  lastFirstByteAtMs = 0;
  /** Number of the request under way. */
  turn = 0;
  #stopped = false;
  readonly #running: Promise<void>;
  /** The first thing that was wrong. */
  wrong: unknown = null;

  constructor(wish: Wish, bytesPerSecond = Number.POSITIVE_INFINITY) {
    this.#wish = wish;
    this.bytesPerSecond = bytesPerSecond;
    this.#running = this.#run();
  }

  /** What it has seen, for people. */
  get told(): string {
    return JSON.stringify({ ...this.ends, turn: this.turn, received: this.received });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#agent.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped && this.wrong === null) {
      this.turn++;
      try {
        this.ends[await this.#ask()]++;
      } catch (error) {
        if (error instanceof assert.AssertionError) this.wrong = error;
        else this.ends.cut++;
      }
      this.received = null;
      await sleep(5);
    }
  }

  async #ask(): Promise<End> {
    const { url, bytes, backAt } = this.#wish;
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get(url, { agent: this.#agent }, resolve).once('error', reject);
    });
    if (response.statusCode === 302) {
      assert.equal(response.headers.location, backAt);
      response.resume();
      return 'redirect';
    }
    assert.equal(response.statusCode, 200);
    assert.equal(response.headers['content-length'], String(bytes.length));
    let at = 0;
    this.received = at;
    for await (const piece of response as AsyncIterable<Buffer>) {
      if (at === 0) this.lastFirstByteAtMs = performance.now();
      assert.ok(bytes.subarray(at, at + piece.length).equals(piece), `wrong bytes at ${at}`);
      at += piece.length;
      this.received = at;
      if (this.bytesPerSecond !== Number.POSITIVE_INFINITY)
        await sleep((piece.length / this.bytesPerSecond) * 1000);
    }
    assert.equal(at, bytes.length, 'an end that nobody can take for one');
    return 'whole';
  }
}

/** Waits, and fails with what a client has seen that was wrong. */
export async function untilServed(
  clients: readonly Client[],
  condition: () => boolean,
  what: string,
): Promise<void> {
  const wrong = () => clients.find((client) => client.wrong !== null);
  await until(() => condition() || wrong() !== undefined, what, 60_000).catch((error) => {
    throw new Error(`${messageOf(error)}: ${clients.map((client) => client.told)}`, { cause: error });
  });
  const error = wrong()?.wrong;
  if (error !== undefined) throw error;
}

/**
 * How long this machine has kept the test and the agent from running since the last look, although they could have,
 * ms: what is left of a bound on the clock is about the agent.
 */
class Starvation {
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  readonly #agent: AgentProcess;
  #waitedMs: number;

  constructor(agent: AgentProcess) {
    this.#agent = agent;
    this.#waitedMs = this.#agentWaitedMs();
    this.#delay.enable();
  }

  /** @returns ms, and begins anew */
  take(): number {
    const { mean, count } = this.#delay;
    const lateMs = count > 0 ? (count * (mean - 10e6)) / 1e6 : 0;
    const waitedMs = this.#agentWaitedMs();
    const agentMs = waitedMs - this.#waitedMs;
    this.#waitedMs = waitedMs;
    this.#delay.reset();
    return Math.max(0, lateMs, agentMs);
  }

  /** Time its main thread was ready to run and did not (Documentation/scheduler/sched-stats.rst), ms. */
  #agentWaitedMs(): number {
    try {
      const { pid } = this.#agent.child;
      return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
    } catch {
      return 0;
    }
  }

  close(): void {
    this.#delay.disable();
  }
}

/** What the agent says of its disk, as it says it: a line for each state it enters. */
export function statesOf(agent: AgentProcess): string[] {
  return agent.log
    .map((line) => JSON.parse(line))
    .filter((line) => typeof line.disk === 'string' && typeof line.state === 'string')
    .map((line) => line.state);
}

/** Resident memory of the agent, bytes. */
function rssOf(agent: AgentProcess): number {
  const text = readFileSync(`/proc/${agent.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) * 1024;
}

export async function plugged(t: TestContext, kind: DiskKind): Promise<{ stick: TestDisk; mount: string }> {
  t.after(() => killAgents(t));
  const mount = await mkdtemp(path.join(os.tmpdir(), 'hearth-unplug-'));
  const stick = new TestDisk(t, kind, { sizeBytes: 160 * MIB });
  t.after(() => rm(mount, { recursive: true, force: true }));
  stick.plugIn(mount);
  return { stick, mount };
}

/** A paired agent on a disk of its own, which holds some large objects and a small one. */
export async function holding(t: TestContext, kind: DiskKind) {
  const { stick, mount } = await plugged(t, kind);
  const fleet = await FleetFixture.start();
  t.after(() => fleet.close());
  const origin = await OriginFixture.start();
  t.after(() => origin.close());
  const agent = await startAgent(t, {
    ...AS_SHIPPED,
    HEARTH_STATE_DIR: await tempFolder(t, 'state'),
    HEARTH_DISK: mount,
    HEARTH_DISK_ON_ROOT: 'no',
    HEARTH_FLEET_URL: fleet.url,
    HEARTH_CLAIM_CODE: fleet.newClaim(),
  });
  const { boxId } = await fleet.waitFor('hello');
  const layout = new DiskLayout(mount);
  const wishes: Wish[] = [];
  const files: string[] = [];
  for (let index = 0; index <= LARGE; index++) {
    const name = `/film-${index}.mp4`;
    const bytes = randomBytes(index === 0 ? MIB : LARGE_BYTES + index);
    origin.files.set(name, bytes);
    const asset = manifestFor(bytes, origin.url(name), { path: name });
    assert.ok((await fleet.command(boxId, { type: 'cache', asset, ttlMs: null })).ok);
    await fleet.waitFor('report', ({ assets }) =>
      assets.some((one) => one.assetId === asset.assetId && one.state === 'held'),
    );
    const token = fleet.mint(boxId, asset.siteId, '/', { maxBytes: 2 ** 40 });
    wishes.push({
      url: `${agent.contentUrl}/c/${token}/${asset.siteId}${encodePath(asset.path)}`,
      bytes,
      backAt: handBackLink(fleet.routerUrl, asset, boxId),
    });
    files.push(layout.object(asset.sha256));
  }
  const [small, ...large] = wishes;
  assert.ok(small);
  return { agent, stick, mount, origin, small, large, files };
}

/** Clients of all objects; to be stopped before the agent is. */
export function clientsOf({ small, large }: { small: Wish; large: Wish[] }) {
  const quick = [new Client(small), new Client(small)];
  const slow = large.map((wish) => new Client(wish, SLOWLY));
  const all = [...quick, ...slow];
  return { quick, slow, all, stop: () => Promise.all(all.map((client) => client.stop())) };
}

/** Every slow response is in its middle. @returns how to tell that all of these have ended */
export async function midway(slow: readonly Client[], all: readonly Client[]): Promise<() => boolean> {
  const isMidway = ({ received, bytesPerSecond }: Client) =>
    received !== null && received > 0 && received < LARGE_BYTES / 3 && bytesPerSecond === SLOWLY;
  const hurry = () => {
    // One that is further along runs to its end first.
    for (const client of slow)
      client.bytesPerSecond = (client.received ?? 0) > LARGE_BYTES / 4 ? Number.POSITIVE_INFINITY : SLOWLY;
    return slow.every(isMidway);
  };
  await untilServed(all, hurry, 'responses are under way');
  const before = slow.map(({ turn }) => turn);
  return () => slow.every(({ turn }, index) => turn > (before[index] ?? 0));
}

/** Pulls a disk of a kind under load, again and again, and compares everything that clients get. */
export function testUnplugging(kind: DiskKind): void {
  const name = `agent: ${kind} pulled ${CYCLES} times under load: what is under way is cut, nothing wrong is sent, it is back in 5 s, memory stays`;
  test(name, cannotMake(kind), async (t) => {
    const box = await holding(t, kind);
    const { agent, stick, mount } = box;
    const { quick, slow, all, stop } = clientsOf(box);
    t.after(stop);
    const starvation = new Starvation(agent);
    t.after(() => starvation.close());
    const count = (end: 'whole' | 'redirect', clients: readonly Client[]) =>
      Math.min(...clients.map((client) => client.ends[end]));
    const rss: number[] = [];
    const backMs: number[] = [];
    const starvedMs: number[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await untilServed(all, () => slow.every(({ received }) => received !== null), 'it is served to all');
      const haveEnded = await midway(slow, all);
      stick.forget(box.files);
      stick.yank();
      const sentBack = count('redirect', quick);
      // What was sent before it went is taken at once.
      for (const client of slow) client.bytesPerSecond = Number.POSITIVE_INFINITY;
      await untilServed(all, haveEnded, 'every response under way ends');
      await untilServed(all, () => count('redirect', quick) > sentBack + 2, 'clients are sent back');
      const whole = quick.map(({ ends }) => ends.whole);
      await sleep(200);
      assert.deepEqual(
        quick.map(({ ends }) => ends.whole),
        whole,
        'nothing comes from a disk that is not there',
      );
      assert.deepEqual(await readdir(mount), [], 'nothing is written to the bare mount point');
      starvation.take();
      stick.plugIn(mount);
      const from = performance.now();
      await untilServed(
        all,
        () => quick.some(({ lastFirstByteAtMs }) => lastFirstByteAtMs > from),
        'it is back',
      );
      const tookMs = Math.max(...quick.map(({ lastFirstByteAtMs }) => lastFirstByteAtMs)) - from;
      starvedMs.push(Math.round(starvation.take()));
      backMs.push(Math.round(tookMs));
      rss.push(rssOf(agent));
    }
    await stop();
    const cuts = slow.reduce((sum, { ends }) => sum + ends.cut, 0);
    const told = `back after ${backMs} ms, of which this machine took ${starvedMs}`;
    t.diagnostic(`${told}; ${cuts} responses cut; RSS ${rss.map((one) => Math.round(one / MIB))} MiB`);
    // One now and then has all that is left of it in memory.
    assert.ok(cuts >= CYCLES, `only ${cuts} responses were cut: this shows nothing`);
    for (const [cycle, ms] of backMs.entries())
      assert.ok(ms <= AGAIN_MS + (starvedMs[cycle] ?? 0), `cycle ${cycle}: ${told}\n${logOf(agent)}`);
    const middle = (list: number[]) => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
    const growth = middle(rss.slice(-3)) - middle(rss.slice(1, 4));
    assert.ok(growth < MOST_GROWTH_BYTES, `memory grows by ${growth} bytes: ${rss}`);
    assert.equal(agent.child.exitCode, null);
  });
}

function logOf(agent: AgentProcess): string {
  return agent.log.slice(-60).join('\n');
}
