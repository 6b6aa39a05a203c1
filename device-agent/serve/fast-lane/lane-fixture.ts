import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { serve as servePlainly } from '../serve-fixture.ts';
import { tryHandles } from './try-handles.ts';

type Serve = typeof servePlainly;

/** A test over each way in which connections are driven. */
export function over(what: string, run: (t: TestContext, serve: Serve) => Promise<void>): void {
  for (const way of ['handles', 'sockets'] as const) {
    test(`fast lane, ${way}: ${what}`, {
      skip: way === 'handles' && process.platform !== 'linux',
    }, async (t) => {
      const handles = way === 'handles' ? await tryHandles() : null;
      assert.equal(handles !== null, way === 'handles', 'this Node has the handles, and they work');
      await run(t, async (context, limits, clock, more) => {
        const served = await servePlainly(context, limits, clock, {
          handles: Promise.resolve(handles),
          ...more,
        });
        await Promise.resolve();
        return served;
      });
    });
  }
}

/** As it comes on the wire, but for what differs from moment to moment. */
export function steady(answer: string): string {
  return answer
    .replace(/\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/g, '\r\nDate: now\r\n')
    .replace(/(Server-Timing: cache;desc="hit, )(?:memory"|disk", read;dur=[\d.]+)/g, '$1somewhere')
    .replace(/boundary=[\w-]+|--[\w-]{20}\b/g, 'boundary');
}
