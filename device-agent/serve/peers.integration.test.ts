import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { MIB, until } from '#agent/store/store-fixture.ts';
import { findTool, needsTool } from '#test/support/tools.ts';
import { ask, mint, serve, sum, target } from './serve-fixture.ts';
import { Certificates } from './tls/certificates.ts';
import { testCertificate } from './tls/test-certificate.ts';

/** Programs that were not written for this server, against it. */

function run(program: string | null, args: string[]): { output: Promise<string> } {
  assert.ok(program);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (piece) => {
    text += String(piece);
  });
  child.stderr.on('data', (piece) => {
    text += String(piece);
  });
  return { output: new Promise((resolve) => child.once('close', () => resolve(text))) };
}

/** Name, whether a connection lasts long enough to be seen, and arguments. */
const SLOW: [string, boolean, string[]][] = [
  ['heads that never end (slowloris)', true, ['-H', '-i', '1']],
  ['bodies that never end', false, ['-B', '-i', '1', '-s', '8192']],
  ['a thousand ranges at once', false, ['-R', '-a', '1', '-b', '1000']],
  [
    'answers read a few bytes at a time',
    true,
    ['-X', '-w', '10', '-y', '20', '-n', '1', '-z', '5', '-k', '1'],
  ],
];

test(
  'slowhttptest: slow clients are cut, and others served meanwhile',
  needsTool('slowhttptest'),
  async (t) => {
    const limits = { headersMs: 500, idleMs: 500, pieceMs: 500, stalledMs: 500 };
    const { port, put, content } = await serve(t, limits);
    await put(randomBytes(8 * MIB), '/large');
    const url = `http://127.0.0.1:${port}${target(mint('/'), '/large')}`;
    for (const [name, isLasting, args] of SLOW) {
      let most = 0;
      const watch = setInterval(() => {
        most = Math.max(most, content.connections);
      }, 5);
      const bounds = ['-c', '30', '-r', '100', '-l', '4', '-p', '3'];
      const { output } = run(findTool('slowhttptest'), [...args, ...bounds, '-u', url]);
      if (isLasting) await until(() => most >= 5, `${name}: it has begun`);
      assert.equal((await ask(port, '/_hearth/health')).status, 200, name);
      // By the server, whatever the tool believes: it does not see at once that it was cut.
      await until(() => content.connections === 0, `${name}: all were cut`);
      clearInterval(watch);
      assert.match(stripVTControlCharacters(await output), /service available:\s+YES/, name);
      await until(() => content.connections === 0, `${name}: none is left`);
    }
  },
);

test('h2load: HTTP/2 as nghttp2 speaks it', needsTool('h2load'), async (t) => {
  const { put, content, delivered } = await serve(t);
  const bytes = randomBytes(300_000);
  await put(bytes, '/a');
  const certificates = new Certificates();
  certificates.set(await testCertificate());
  const port = await content.listenSecurely(0, '127.0.0.1', certificates);
  const url = `https://127.0.0.1:${port}${target(mint('/'), '/a')}`;
  const said = await run(findTool('h2load'), ['-n', '200', '-c', '4', '-m', '20', url]).output;
  assert.match(said, /Application protocol: h2/);
  assert.match(said, /requests: 200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored/);
  await until(() => sum(delivered).requests === 200, 'all are counted');
  assert.equal(sum(delivered).bytes, 200 * bytes.length);
});
