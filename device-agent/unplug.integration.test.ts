import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotMake } from '#agent/disks/disk-fixture.ts';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import type { BoxStatus } from '#protocol/http-box.ts';
import { startAgent } from './agent-fixture.ts';
import {
  AS_SHIPPED,
  clientsOf,
  holding,
  midway,
  plugged,
  statesOf,
  testUnplugging,
  untilServed,
} from './unplug-fixture.ts';

testUnplugging('ext4');

test(
  'agent: a disk put back at once is as good as it was, whatever the reads say that had begun before',
  cannotMake('ext4'),
  async (t) => {
    const box = await holding(t, 'ext4');
    const { agent, stick, mount, origin } = box;
    const { slow, all, stop } = clientsOf(box);
    t.after(stop);
    const fetched = origin.asked.length;
    const haveEnded = await midway(slow, all);
    stick.forget(box.files);
    stick.yank();
    stick.plugIn(mount);
    await until(() => /absent,.*ok/.test(String(statesOf(agent))), 'it is used again', 60_000);
    for (const client of slow) client.bytesPerSecond = Number.POSITIVE_INFINITY;
    await untilServed(all, haveEnded, 'every response under way ends');
    const cuts = slow.reduce((sum, { ends }) => sum + ends.cut, 0);
    assert.ok(cuts > 0, 'nothing was under way');
    const whole = slow.map(({ ends }) => ends.whole);
    await untilServed(
      all,
      () => slow.every(({ ends }, index) => ends.whole > (whole[index] ?? 0)),
      'all is served',
    );
    const states = statesOf(agent);
    const since = states.slice(states.lastIndexOf('absent'));
    assert.ok(!since.includes('failing'), `${states}`);
    assert.equal(origin.asked.length, fetched, 'nothing was fetched again');
    await stop();
  },
);

test(
  'agent: a disk that hangs from the start does not keep the dashboard away',
  cannotMake('exfat'),
  async (t) => {
    const { stick, mount } = await plugged(t, 'exfat');
    stick.freeze();
    const agent = await startAgent(t, {
      HEARTH_STATE_DIR: await tempFolder(t, 'state'),
      HEARTH_DISK: mount,
      HEARTH_DISK_ON_ROOT: 'no',
      ...AS_SHIPPED,
    });
    assert.ok(!statesOf(agent).includes('ok'));
    for (let turn = 0; turn < 20; turn++) {
      const response = await fetch(`${agent.lanUrl}/api/session`);
      assert.equal(response.status, 200);
      await response.arrayBuffer();
    }
    // Needs a thread of the pool for a quarter of a second.
    const setup = await fetch(`${agent.lanUrl}/api/setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-hearth-csrf': '1', origin: agent.lanUrl },
      body: JSON.stringify({ password: 'a long enough one' }),
    });
    assert.ok(setup.ok, `${setup.status} ${await setup.text()}`);
    const cookie = setup.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const ask = async (what: string) => {
      const response = await fetch(`${agent.lanUrl}/api/${what}`, { headers: { cookie } });
      assert.equal(response.status, 200, what);
      return response.json();
    };
    await until(
      () => statesOf(agent).includes('failing'),
      'it is said that the disk does not answer',
      60_000,
    );
    const { disk } = (await ask('status')) as BoxStatus;
    assert.deepEqual([disk.state, disk.reason], ['failing', 'not_answering']);
    assert.match(disk.problem ?? '', /pull it and plug it in/);
    // Sizes and labels of all disks, of which one does not answer.
    await ask('disks');
    stick.thaw();
    await until(() => statesOf(agent).includes('ok'), 'it is used once it answers', 60_000);
  },
);
