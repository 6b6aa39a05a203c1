import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotMake } from '#agent/disks/disk-fixture.ts';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { startAgent } from './agent-fixture.ts';
import { AS_SHIPPED, plugged, statesOf, testUnplugging } from './unplug-fixture.ts';

testUnplugging('ext4');

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
    await until(() => statesOf(agent).includes('failing'), 'it is said that the disk does not answer');
    stick.thaw();
    await until(() => statesOf(agent).includes('ok'), 'it is used once it answers');
  },
);
