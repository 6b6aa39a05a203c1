import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { deliveryKeyFor, mintToken, sealKeyFor } from '#protocol/delivery-token.ts';
import type { Site } from '#protocol/http-fleet.ts';
import { newId } from '#protocol/ids.ts';
import { mintFor } from '#test/support/minting.ts';
import { audit } from '#test/support/money.ts';
import { rawExchange, rawGet } from '#test/support/raw-http.ts';
import { useSystem } from '#test/support/system.ts';

const CONTENT = randomBytes(300_000);
const SECRET = Buffer.from('what lies beside the content');

describe('links that are forged, old or for something else', () => {
  const get = useSystem({ boxes: 1 });
  let site: Site;
  let port: number;
  const scope = (changes: object = {}) => ({
    boxId: get().box(0).id,
    siteId: site.id,
    prefix: '/a/',
    maxBytes: 1e9,
    expiresAtMs: Date.now() + 60_000,
    ...changes,
  });
  const mint = (changes: object = {}) => mintFor(get(), scope(changes));
  const ask = (token: string, path: string, siteId = site.id) => rawGet(port, `/c/${token}/${siteId}${path}`);

  before(async () => {
    const system = get();
    site = await system.addSite();
    system.origin.write('/a/file.bin', CONTENT);
    system.origin.write('/secret/file.bin', SECRET);
    const assets = await system.ingest(site, ['/a/file.bin', '/secret/file.bin']);
    await system.assign(assets, system.boxes);
    await system.untilHeld(assets, system.boxes);
    port = system.box(0).contentPort;
  });

  it('are no use, while the right one opens what it is for', async () => {
    const right = await ask(mint(), '/a/file.bin');
    assert.equal(right?.status, 200);
    assert.ok(right.body.equals(CONTENT));

    const good = mint();
    const flipped = Buffer.from(good, 'base64url');
    for (const [what, token] of [
      ['nonsense', 'x'],
      ['zeros', 'A'.repeat(76)],
      ['cut', good.slice(0, 75)],
      ['lengthened', `${good}A`],
      ['padded', `${good}=`],
      // The bytes that say how much, how long and for how long a prefix.
      ...[13, 16, 17, 22, 23, 24, 25, 40].map((at) => {
        const changed = Buffer.from(flipped);
        changed[at] = (changed[at] ?? 0) ^ 1;
        return [`byte ${at} changed`, changed.toString('base64url')] as const;
      }),
      [
        'another fleet',
        mintToken(scope(), deliveryKeyFor(randomBytes(32), 'x'), sealKeyFor(randomBytes(32))),
      ],
      ['another box', mint({ boxId: newId('box') })],
      ['another site', mint({ siteId: newId('site') })],
    ] as const) {
      const answer = await ask(token, '/a/file.bin');
      assert.equal(answer?.status, 403, what);
      assert.match(answer.headers['content-type'] ?? '', /^text\/plain/, what);
      assert.ok(answer.body.length > 0 && !answer.body.includes(CONTENT.subarray(0, 64)), what);
    }
  });

  it('open nothing outside their prefix', async () => {
    for (const [prefix, path] of [
      ['/a/', '/secret/file.bin'],
      ['/a/', '/a'],
      ['/secret/', '/a/file.bin'],
      ['/a/file', '/a/file.bin'],
      ['/a/file.bin', '/a/file.bin2'],
      ['/a/other.bin', '/a/file.bin'],
    ] as const) {
      const answer = await ask(mint({ prefix }), path);
      assert.equal(answer?.status, 403, `${prefix} for ${path}`);
      assert.ok(!answer.body.includes(SECRET));
    }
    assert.equal((await ask(mint({ prefix: '/a/file.bin' }), '/a/file.bin'))?.status, 200);
    assert.equal((await ask(mint({ prefix: '/' }), '/a/file.bin'))?.status, 200);
  });

  it('lead back to the router when they have expired, and there to a new one', async () => {
    const system = get();
    const answer = await ask(mint({ expiresAtMs: Date.now() - 10_000 }), '/a/file.bin');
    assert.equal(answer?.status, 302);
    const location = answer.headers.location ?? '';
    assert.ok(
      location.startsWith(`http://127.0.0.1:${system.routerPort}/_site/${site.id}/a/file.bin`),
      location,
    );
    const followed = await fetch(location);
    assert.ok(Buffer.from(await followed.arrayBuffer()).equals(CONTENT));
  });

  it('do not lead out of the content, however the path is spelled', async () => {
    const token = mint();
    for (const path of [
      '/a/../secret/file.bin',
      '/a/%2e%2e/secret/file.bin',
      '/a/..%2fsecret/file.bin',
      '/a/%2e%2e%2fsecret%2ffile.bin',
      '/a/%252e%252e/secret/file.bin',
      '/a/..\\secret\\file.bin',
      '/a/./../secret/file.bin',
      '/a//secret/file.bin',
      '/a/../../../../../../../../etc/passwd',
      '/a/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
      '/a/file.bin%00.txt',
      '/a/%00',
      '/a/%ff%fe',
      '/a/%zz',
      '/a/',
      '/a/\u00e9',
      `/a/${'x'.repeat(5000)}`,
    ]) {
      const answer = await ask(token, path);
      const status = answer?.status ?? 400;
      assert.ok(status === 302 || (status >= 400 && status < 500), `${path}: ${status}`);
      assert.ok(!answer?.body.includes(SECRET) && !answer?.body.includes('root:'), path);
    }
    for (const target of [
      '/',
      '/c',
      '/c/',
      `/c/${token}`,
      `/c/${token}/`,
      `/c/${token}/${site.id}`,
      '*',
      'http://x/y',
      '/../state',
    ]) {
      const answer = await rawGet(port, target);
      assert.ok(
        answer === null || (answer.status >= 300 && answer.status < 500),
        `${target}: ${answer?.status}`,
      );
    }
  });

  it('are not the way in for requests that are no HTTP', async () => {
    const token = mint();
    for (const request of [
      'GARBAGE\r\n\r\n',
      '\r\n\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      `GET /c/${token}/${site.id}/a/file.bin HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(200_000)}\r\n\r\n`,
      `POST /c/${token}/${site.id}/a/file.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello`,
      `GET /c/${token}/${site.id}/a/file.bin HTTP/1.1\r\nhost: x\r\nrange: bytes=${'0-1,'.repeat(5000)}0-1\r\nconnection: close\r\n\r\n`,
      `GET /c/${token}/${site.id}/a/file.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n`,
    ]) {
      const answer = (await rawExchange(port, Buffer.from(request, 'latin1'), 3_000)).toString(
        'latin1',
        0,
        15,
      );
      assert.doesNotMatch(answer, /^HTTP\/1\.1 5/, request.slice(0, 60));
    }
    assert.equal((await ask(token, '/a/file.bin'))?.status, 200, 'the box goes on');
  });

  it('pay nothing beyond what the router issued', async () => {
    const system = get();
    const token = mint({ prefix: '/a/file.bin', maxBytes: CONTENT.length });
    let served = 0;
    for (let time = 0; time < 3; time++) {
      const answer = await ask(token, '/a/file.bin');
      // Beyond its entitlement the box may serve for nothing, or send the client for a new link.
      assert.ok(answer?.status === 200 || answer?.status === 302, String(answer?.status));
      if (answer.status === 200) served += 1;
    }
    assert.ok(served >= 1);
    await new Promise((done) => setTimeout(done, 1500));
    // The audit itself fails when a token was paid beyond its limit.
    const books = await audit(system.database.url);
    assert.ok(books.acceptedBytes > 0);
  });
});
