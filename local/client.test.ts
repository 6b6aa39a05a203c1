import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { fetchAsClient } from './client.ts';
import type { Origin } from './origin.ts';
import { listen } from './origin.ts';

describe('client', () => {
  let server: Origin;
  before(async () => {
    server = await listen(
      createServer((request, response) => {
        if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end();
        else if (request.url === '/from') response.writeHead(302, { location: 'deep/to?x' }).end();
        else if (request.url === '/short') {
          response.writeHead(200, { 'content-length': 10 });
          response.write('12345', () => response.destroy());
        } else response.end(`${request.headers.host} ${request.url}`);
      }),
      0,
    );
  });
  after(() => server.close());

  it('follows redirects to where a relative location leads, by names below localhost', async () => {
    const url = `http://video.localhost:${server.port}/from`;
    const fetched = await fetchAsClient(url, { keepBody: true });
    const text = `video.localhost:${server.port} /deep/to?x`;
    assert.equal(fetched.body.toString(), text);
    assert.equal(fetched.sha256, createHash('sha256').update(text).digest('hex'));
    assert.equal(fetched.finalUrl, `http://video.localhost:${server.port}/deep/to?x`);
    assert.deepEqual(fetched.hops, [
      { url, status: 302 },
      { url: fetched.finalUrl, status: 200 },
    ]);
  });

  it('does not take a part for the whole, nor go round for ever', async () => {
    await assert.rejects(fetchAsClient(`${server.url}/short`), /aborted|ended after 5 bytes/);
    await assert.rejects(fetchAsClient(`${server.url}/loop`), /too many redirects/);
  });
});
