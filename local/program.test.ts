import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isHearthError } from '#protocol/errors.ts';
import { Program } from './program.ts';

describe('program', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-program-'));
  after(() => rmSync(root, { recursive: true }));
  function script(name: string, text: string): string {
    const path = join(root, `${name}.mjs`);
    writeFileSync(path, text);
    return path;
  }
  const READY = `console.log(JSON.stringify({ msg: 'ready', url: 'http://x' }));`;

  it('is ready when it says so, keeps its lines, ends on SIGTERM', async () => {
    const path = script(
      'good',
      `console.error('starting'); console.log('{"msg":"not yet"}');
       process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });
       setInterval(() => {}, 1000); ${READY}`,
    );
    const logFile = join(root, 'good.log');
    const program = await Program.start({ name: 'good', args: [path], env: {}, logFile });
    assert.equal(program.ready.url, 'http://x');
    assert.deepEqual(await program.stop(), { code: 0, signal: null });
    assert.match(program.lastLines(), /starting\n/);
    assert.match(readFileSync(logFile, 'utf8'), /bye/);
    assert.equal(program.identity(), null);
  });

  it('gets its own HEARTH_ variables and none of ours', async () => {
    process.env.HEARTH_OURS = 'ours';
    try {
      const path = script(
        'env',
        `console.log(JSON.stringify({ msg: 'ready', env: process.env })); setInterval(() => {}, 1000);`,
      );
      const program = await Program.start({ name: 'env', args: [path], env: { HEARTH_ITS: 'its' } });
      const { HEARTH_OURS, HEARTH_ITS, PATH } = program.ready.env as NodeJS.ProcessEnv;
      assert.deepEqual([HEARTH_OURS, HEARTH_ITS, PATH], [undefined, 'its', process.env.PATH]);
      await program.kill();
    } finally {
      delete process.env.HEARTH_OURS;
    }
  });

  it('reports what one that ends or hangs said last', async () => {
    const ends = script('ends', `console.error('HEARTH_X: is wrong'); process.exit(2);`);
    await assert.rejects(
      Program.start({ name: 'ends', args: [ends], env: {} }),
      (error: Error) =>
        isHearthError(error, 'unavailable') &&
        /^ends ended with 2\. [\s\S]*HEARTH_X: is wrong/.test(error.message),
    );
    const hangs = script('hangs', `console.log('thinking'); setInterval(() => {}, 1000);`);
    await assert.rejects(
      Program.start({ name: 'hangs', args: [hangs], env: {}, readyTimeoutMs: 1500 }),
      (error: Error) => /was not ready within 1\.5 s[\s\S]*thinking/.test(error.message),
    );
  });

  it('kills one that does not obey', async () => {
    const path = script('deaf', `process.on('SIGTERM', () => {}); ${READY} setInterval(() => {}, 1000);`);
    const program = await Program.start({ name: 'deaf', args: [path], env: {} });
    assert.deepEqual(await program.stop(200), { code: null, signal: 'SIGKILL' });
  });
});
