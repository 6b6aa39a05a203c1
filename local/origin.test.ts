import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Origin } from './origin.ts';
import { parseRange, startOrigin } from './origin.ts';

describe('origin', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-origin-'));
  let origin: Origin;
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(origin.url + path, { headers, method });

  before(async () => {
    mkdirSync(join(root, 'web'));
    writeFileSync(join(root, 'web', 'a b.txt'), '0123456789');
    writeFileSync(join(root, 'secret'), 'secret');
    origin = await startOrigin(join(root, 'web'));
  });
  after(async () => {
    await origin.close();
    rmSync(root, { recursive: true });
  });

  it('serves whole, by range and by suffix, with type and validators', async () => {
    const whole = await get('/a%20b.txt?x=1');
    assert.equal(await whole.text(), '0123456789');
    assert.equal(whole.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(whole.headers.get('accept-ranges'), 'bytes');
    const part = await get('/a%20b.txt', { range: 'bytes=2-4' });
    assert.deepEqual(
      [part.status, await part.text(), part.headers.get('content-range')],
      [206, '234', 'bytes 2-4/10'],
    );
    assert.equal(await (await get('/a%20b.txt', { range: 'bytes=-3' })).text(), '789');
    const beyond = await get('/a%20b.txt', { range: 'bytes=10-' });
    assert.deepEqual([beyond.status, beyond.headers.get('content-range')], [416, 'bytes */10']);
    const head = await get('/a%20b.txt', {}, 'HEAD');
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '10', '']);
    assert.equal((await get('/a%20b.txt', {}, 'POST')).status, 405);
  });

  it('answers conditional requests', async () => {
    const headers = (await get('/a%20b.txt')).headers;
    const tag = headers.get('etag') ?? '';
    const modified = headers.get('last-modified') ?? '';
    assert.equal((await get('/a%20b.txt', { 'if-none-match': `"x", W/${tag}` })).status, 304);
    assert.equal(
      (await get('/a%20b.txt', { 'if-none-match': '"x"', 'if-modified-since': modified })).status,
      200,
    );
    assert.equal((await get('/a%20b.txt', { 'if-modified-since': modified })).status, 304);
    assert.equal((await get('/a%20b.txt', { 'if-range': tag, range: 'bytes=0-0' })).status, 206);
    assert.equal((await get('/a%20b.txt', { 'if-range': '"x"', range: 'bytes=0-0' })).status, 200);
  });

  it('does not leave its root', async () => {
    for (const path of [
      '/../secret',
      '/%2e%2e/secret',
      '/..%2fsecret',
      '/',
      '/web',
      '/%00',
      '/%zz',
      '//a%20b.txt',
    ]) {
      // fetch would tidy the path: the bytes are sent as they are.
      const status = await new Promise<string>((done, fail) => {
        const socket = connect(origin.port, '127.0.0.1', () =>
          socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
        );
        let text = '';
        socket.on('data', (data) => {
          text += data;
        });
        socket.on('close', () => done(text.slice(0, 12)));
        socket.on('error', fail);
      });
      assert.equal(status, 'HTTP/1.1 404', path);
    }
  });

  it('reads ranges by the book', () => {
    assert.deepEqual(parseRange('bytes=0-', 10), { start: 0, length: 10 });
    assert.deepEqual(parseRange('bytes=5-100', 10), { start: 5, length: 5 });
    assert.deepEqual(parseRange('bytes=-100', 10), { start: 0, length: 10 });
    assert.equal(parseRange('bytes=-0', 10), 'unsatisfiable');
    assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
    for (const ignored of [undefined, 'bytes=-', 'bytes=5-2', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=a-b']) {
      assert.equal(parseRange(ignored, 10), null, ignored);
    }
  });
});
