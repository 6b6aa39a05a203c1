import { createInterface } from 'node:readline';
import type { Mapped, PortMapper, Wanted } from '#agent/reach/mapping.ts';
import { MappingError } from '#agent/reach/mapping.ts';
import { NatPmpMapper } from '#agent/reach/natpmp/natpmp.ts';
import { PcpMapper } from '#agent/reach/pcp/pcp.ts';
import { UpnpMapper } from '#agent/reach/upnp/upnp.ts';

/** Runs the agent's mappers inside a namespace, told by lines of JSON: a test stands outside. */
export type Order =
  | { method: PortMapper['method']; map: Wanted }
  | { method: PortMapper['method']; unmap: Mapped };
export type Outcome = { mapped: Mapped } | { done: true } | { problem: string; detail: string };

const now = () => performance.now();
const mappers: Record<PortMapper['method'], PortMapper> = {
  pcp: new PcpMapper({ secret: Buffer.from(process.env.PCP_SECRET ?? 'a box'), now, giveUpMs: 4_000 }),
  natpmp: new NatPmpMapper({ now, sendings: 3 }),
  upnp: new UpnpMapper({ searchMs: 1_500 }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  const signal = AbortSignal.timeout(20_000);
  let outcome: Outcome;
  try {
    if ('map' in order) outcome = { mapped: await mappers[order.method].map(order.map, signal) };
    else {
      await mappers[order.method].unmap(order.unmap, signal);
      outcome = { done: true };
    }
  } catch (error) {
    const problem = error instanceof MappingError ? error.problem : 'crashed';
    outcome = {
      problem,
      detail: error instanceof Error ? `${error.message}\n${error.stack}` : String(error),
    };
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
