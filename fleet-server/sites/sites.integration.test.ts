import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { fleetFixture } from '#fleet/testing/fleet-fixture.ts';
import { siteSchema } from '#protocol/http-fleet.ts';

test('sites: an origin in a local network is refused unless the fleet stands in one itself', async (t) => {
  for (const dial of ['off', 'on']) {
    const fleet = await fleetFixture({ HEARTH_DIAL_PRIVATE: dial });
    t.after(() => fleet.close());
    const add = (hostname: string, origin: string) =>
      fleet.ask('POST', '/sites', { hostname, origin }, siteSchema);
    for (const [index, origin] of ['http://192.168.1.5:8080', 'http://127.1', 'http://localhost'].entries()) {
      const made = add(`local${index}.test`, origin);
      if (dial === 'on') await made;
      else await assert.rejects(made, /400.*bad_request.*local network.*HEARTH_DIAL_PRIVATE=on/);
    }
    await add('public.test', 'https://origin.example.com');
    const { items } = await fleet.ask('GET', '/sites', undefined, z.object({ items: z.array(siteSchema) }));
    assert.equal(items.length, dial === 'on' ? 4 : 1);
  }
});
