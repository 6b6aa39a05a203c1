import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { tempFolder, until } from '#agent/store/store-fixture.ts';
import { end, LauncherFixture, lineFor, sha256Of } from './launch-fixture.ts';

const STAY = 'while :; do sleep 0.1; done';
/** BusyBox's is the one on OpenWrt. */
const shells = [['/bin/sh'], ...(spawnSync('busybox', ['true']).status === 0 ? [['busybox', 'sh']] : [])];
const open = async (t: TestContext) => new LauncherFixture(t, await tempFolder(t, 'launch'));

for (const shell of shells) {
  describe(`the launcher in ${shell.join(' ')}`, () => {
    test('without a choice, and with half of one, the packaged version runs', async (t) => {
      const fixture = await open(t);
      const packaged = fixture.script('packaged', 'exit 7');
      const first = fixture.start(packaged, {}, shell);
      assert.equal((await once(first, 'exit'))[0], 7);
      writeFileSync(
        fixture.choiceFile,
        `hearth-choice 1\n${lineFor('kept', fixture.script('kept', STAY), '1.1.0')}`,
      );
      const second = fixture.start(packaged, {}, shell);
      await once(second, 'exit');
      assert.deepEqual(fixture.started(), ['packaged packaged ,', 'packaged packaged ,']);
    });

    test('a kept version runs; TERM reaches it, and its answer is passed on', async (t) => {
      const fixture = await open(t);
      const kept = fixture.script('kept', `trap 'exit 5' TERM\n${STAY}`);
      fixture.choose(lineFor('kept', kept, '1.1.0'));
      const launcher = fixture.start(fixture.script('packaged', STAY), {}, shell);
      await until(() => fixture.started().length === 1, 'it has started');
      assert.deepEqual(fixture.started(), ['kept kept ,ok']);
      assert.equal(await end(launcher, 'SIGTERM'), 5);
    });

    test('a version that hangs when it is told to stop is ended', async (t) => {
      const fixture = await open(t);
      const deaf = path.join(fixture.folder, 'deaf');
      const packaged = fixture.script('packaged', `trap '' TERM\necho $$ > '${deaf}'\n${STAY}`);
      const launcher = fixture.start(packaged, { HEARTH_DRAIN_MS: '0' }, shell);
      const pid = () => (existsSync(deaf) ? Number(readFileSync(deaf, 'utf8')) : 0);
      await until(() => pid() > 0, 'it does not hear');
      assert.equal(await end(launcher, 'SIGTERM'), 128 + 9);
      assert.throws(() => process.kill(pid(), 0), { code: 'ESRCH' });
    });

    for (const [what, spoil, note] of [
      ['gone with its disk', (file: string) => rmSync(file), 'missing'],
      ['changed by somebody', (file: string) => writeFileSync(file, '#!/bin/sh\nexit 0\n'), 'damaged'],
    ] as const) {
      test(`a kept version that is ${what} is not started`, async (t) => {
        const fixture = await open(t);
        const kept = fixture.script('kept', STAY);
        fixture.choose(lineFor('kept', kept, '1.1.0'));
        spoil(kept);
        fixture.start(fixture.script('packaged', STAY), {}, shell);
        await until(() => fixture.started().length === 1, 'something has started');
        assert.deepEqual(fixture.started(), [`packaged packaged ,${note}`]);
      });
    }

    test('a package newer than the kept version runs instead of it', async (t) => {
      const fixture = await open(t);
      fixture.choose(lineFor('kept', fixture.script('kept', STAY), '1.9.0'));
      fixture.start(fixture.script('packaged', STAY), { HEARTH_PACKAGED_VERSION: '1.10.0' }, shell);
      await until(() => fixture.started().length === 1, 'something has started');
      assert.deepEqual(fixture.started(), ['packaged packaged ,older']);
    });

    test('a version on trial that crashes is started three times, then the kept one', async (t) => {
      const fixture = await open(t);
      const kept = lineFor('kept', fixture.script('kept', STAY), '1.1.0');
      fixture.choose(lineFor('trial', fixture.script('trial', 'exit 1'), '1.2.0'), kept);
      fixture.start(fixture.script('packaged', STAY), {}, shell);
      await until(() => fixture.started().length === 4, 'it has gone back');
      assert.deepEqual(fixture.started(), [...Array(3).fill('trial trial ok,'), 'kept kept crashed,ok']);
    });

    test('starts are counted across power cuts', async (t) => {
      const fixture = await open(t);
      fixture.choose(lineFor('trial', fixture.script('trial', STAY), '1.2.0'));
      const packaged = fixture.script('packaged', STAY);
      for (let cut = 1; cut <= 3; cut++) {
        const launcher = fixture.start(packaged, {}, shell);
        await until(() => fixture.started().length === cut, 'it has started');
        await end(launcher, 'SIGTERM');
      }
      fixture.start(packaged, {}, shell);
      await until(() => fixture.started().length === 4, 'it has gone back');
      assert.equal(fixture.started().at(-1), 'packaged packaged crashed,');
    });

    test('a version on trial that hangs is ended at the deadline, and not tried again', async (t) => {
      const fixture = await open(t);
      const trial = fixture.script('trial', `trap '' TERM\n${STAY}`);
      fixture.choose(lineFor('trial', trial, '1.2.0'));
      fixture.start(fixture.script('packaged', STAY), { HEARTH_UPDATE_DEADLINE_MS: '1600' }, shell);
      await until(() => fixture.started().length === 2, 'it has gone back');
      assert.deepEqual(fixture.started(), ['trial trial ok,', 'packaged packaged timeout,']);
      assert.match(
        readFileSync(path.join(fixture.stateDir, 'update', 'starts'), 'utf8'),
        /^[0-9a-f]{64} 3 timeout\n$/,
      );
    });

    test('a version that has been kept meanwhile is left alone at the deadline', async (t) => {
      const fixture = await open(t);
      const trial = fixture.script('trial', STAY);
      fixture.choose(lineFor('trial', trial, '1.2.0'));
      fixture.start(fixture.script('packaged', STAY), { HEARTH_UPDATE_DEADLINE_MS: '3200' }, shell);
      await until(() => fixture.started().length === 1, 'it has started');
      fixture.choose(lineFor('kept', trial, '1.2.0'));
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      assert.deepEqual(fixture.started(), ['trial trial ok,']);
    });

    test('a kept version that crashes at every start is left for the packaged one', async (t) => {
      const fixture = await open(t);
      fixture.choose(lineFor('kept', fixture.script('kept', 'exit 1'), '1.1.0'));
      fixture.start(fixture.script('packaged', STAY), {}, shell);
      await until(() => fixture.started().length === 4, 'it has gone back');
      assert.deepEqual(fixture.started(), [...Array(3).fill('kept kept ,ok'), 'packaged packaged ,crashed']);
    });

    test('who asks for it is started again by what the choice says then', async (t) => {
      const fixture = await open(t);
      const trial = lineFor('trial', fixture.script('trial', STAY), '1.2.0');
      const sha256 = sha256Of('none');
      const packaged = fixture.script(
        'packaged',
        `printf 'hearth-choice 1\\n%s\\nend\\n' '${trial}' > '${fixture.choiceFile}'\nexit 75`,
      );
      fixture.choose(`trial ${sha256} 9.9.9 /no/such/file`);
      fixture.start(packaged, {}, shell);
      await until(() => fixture.started().length === 2, 'it has switched');
      assert.deepEqual(fixture.started(), ['packaged packaged missing,', 'trial trial ok,']);
    });
  });
}
