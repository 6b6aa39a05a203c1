import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import tls from 'node:tls';
import { build } from 'esbuild';
import { MIB, silent, tempFolder, until } from '#agent/store/store-fixture.ts';
import { isHearthError } from '#protocol/errors.ts';
import { mint, serve, sum, target } from '../serve-fixture.ts';
import { CertificateFiles, Certificates } from './certificates.ts';
import { cipherOptions, hasAes } from './ciphers.ts';
import { testCertificate } from './test-certificate.ts';

const large = randomBytes(3 * MIB + 333);

async function secure(t: TestContext, limits = {}) {
  const served = await serve(t, limits);
  const certificates = new Certificates();
  const certificate = await testCertificate();
  certificates.set(certificate);
  const port = await served.content.listenSecurely(0, '127.0.0.1', certificates);
  assert.ok(port);
  return { ...served, certificates, certificate, tlsPort: port, plainPort: served.port };
}

interface Got {
  status: number | undefined;
  body: Buffer;
  fingerprint: string;
}

async function get(port: number, ca: string, url: string, agent: https.Agent | false = false): Promise<Got> {
  const request = https.get({ host: '127.0.0.1', port, path: url, ca, agent });
  const [response] = await once(request, 'response');
  const fingerprint = (response.socket as tls.TLSSocket).getPeerCertificate().fingerprint256;
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return { status: response.statusCode, body: Buffer.concat(pieces), fingerprint };
}

test('TLS: content over HTTP/1.1, kept alive, counted as over the plain port', async (t) => {
  const { tlsPort, certificate, put, content, delivered } = await secure(t);
  await put(large, '/a');
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (let n = 0; n < 3; n++) {
    const got = await get(tlsPort, certificate.cert, target(mint('/'), '/a'), agent);
    assert.equal(got.status, 200);
    assert.ok(got.body.equals(large));
  }
  assert.equal(content.connections, 1);
  await until(() => sum(delivered).requests === 3, 'all are counted');
  assert.equal(sum(delivered).bytes, 3 * large.length);
});

test('TLS: TLS 1.2 at least, and nothing without forward secrecy', async (t) => {
  const { tlsPort, certificate } = await secure(t);
  const shake = async (options: tls.ConnectionOptions) => {
    const socket = tls.connect({ host: '127.0.0.1', port: tlsPort, ca: certificate.cert, ...options });
    await once(socket, 'secureConnect');
    const said = { protocol: socket.getProtocol(), cipher: socket.getCipher().name };
    socket.destroy();
    return said;
  };
  assert.equal((await shake({})).protocol, 'TLSv1.3');
  assert.equal((await shake({ maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
  await assert.rejects(shake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  await assert.rejects(shake({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES256-GCM-SHA384' }));
});

test('TLS: ChaCha20 first where the CPU has no instructions for AES, or the client has none', async (t) => {
  const h3 = 'processor : 0\nFeatures\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva\n';
  const h6 = 'processor : 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\n';
  assert.deepEqual([hasAes(h3), hasAes(h6), hasAes(null)], [false, true, true]);
  const certificate = await testCertificate();
  const chosen = async (aes: boolean, ciphers: string, maxVersion: tls.SecureVersion) => {
    const server = tls.createServer({ ...certificate, ...cipherOptions(aes) }).listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const socket = tls.connect({ host: '127.0.0.1', port, ca: certificate.cert, ciphers, maxVersion });
    await once(socket, 'secureConnect');
    const { name } = socket.getCipher();
    socket.destroy();
    return name;
  };
  const aesFirst = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256';
  const chachaFirst = 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
  assert.match(await chosen(false, aesFirst, 'TLSv1.3'), /CHACHA20/);
  assert.match(await chosen(true, aesFirst, 'TLSv1.3'), /AES_128/);
  assert.match(await chosen(true, chachaFirst, 'TLSv1.3'), /CHACHA20/);
  const aes12 = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305';
  assert.match(await chosen(false, aes12, 'TLSv1.2'), /CHACHA20/);
  assert.match(await chosen(true, aes12, 'TLSv1.2'), /AES128/);
});

test('TLS: a renewed certificate is used at once, and what is open goes on', async (t) => {
  const folder = await tempFolder(t, 'certificate');
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  const { content, put, meter } = await serve(t);
  await put(randomBytes(48 * MIB), '/huge');
  const certificates = new Certificates();
  const watched = new CertificateFiles(files, certificates, 20, silent);
  t.after(() => watched.close());
  await watched.settled();
  // There is none yet: nothing listens.
  const address = net.createServer().listen(0, '127.0.0.1');
  await once(address, 'listening');
  const { port } = address.address() as net.AddressInfo;
  await new Promise((resolve) => address.close(resolve));
  assert.equal(await content.listenSecurely(port, '127.0.0.1', certificates), null);
  await assert.rejects(once(net.connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' });
  const install = async ({ cert, key }: { cert: string; key: string }) => {
    for (const [name, text] of [
      ['key', key],
      ['cert', cert],
    ] as const) {
      await writeFile(`${files[name]}.new`, text);
      await rename(`${files[name]}.new`, files[name]);
    }
  };
  const first = await testCertificate();
  const second = await testCertificate();
  await install(first);
  const url = target(mint('/'), '/huge');
  await until(
    () =>
      get(port, first.cert, '/_hearth/health').then(
        () => true,
        () => false,
      ),
    'it listens',
  );
  const running = https.get({ host: '127.0.0.1', port, path: url, ca: first.cert, agent: false });
  const [response] = await once(running, 'response');
  response.pause();
  await until(() => meter.responses === 1, 'it runs');
  // Half an installation is none.
  await writeFile(files.key, second.key);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const still = await get(port, first.cert, '/_hearth/health');
  assert.equal(still.fingerprint, new X509Certificate(first.cert).fingerprint256);
  await install(second);
  const health = '/_hearth/health';
  await until(
    () =>
      get(port, second.cert, health).then(
        () => true,
        () => false,
      ),
    'the new one is used',
  );
  let bytes = 0;
  for await (const piece of response) bytes += (piece as Buffer).length;
  assert.equal(bytes, 48 * MIB);
});

test('TLS: a certificate and a key that do not fit are refused', async () => {
  const [one, other] = await Promise.all([testCertificate(), testCertificate()]);
  const certificates = new Certificates();
  assert.throws(
    () => certificates.set({ cert: one.cert, key: other.key }),
    (error) => isHearthError(error, 'bad_request'),
  );
  assert.throws(
    () => certificates.set({ cert: 'x', key: 'y' }),
    (error) => isHearthError(error, 'bad_request'),
  );
  assert.equal(certificates.current, null);
});

test('TLS: handshakes that never end and plain HTTP are cut; they count as connections', async (t) => {
  const { tlsPort, certificate, content } = await secure(t, { headersMs: 300 });
  const mute = net.connect(tlsPort, '127.0.0.1').on('error', () => undefined);
  mute.resume();
  await until(() => content.connections === 1, 'it counts');
  await once(mute, 'close');
  const plain = net.connect(tlsPort, '127.0.0.1').on('error', () => undefined);
  plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  plain.resume();
  await once(plain, 'close');
  await until(() => content.connections === 0, 'none is left');
  assert.equal((await get(tlsPort, certificate.cert, '/_hearth/health')).status, 200);
});

test('TLS: node:http2 is not loaded before there is a certificate', async (t) => {
  const folder = await tempFolder(t, 'bundle');
  const file = path.join(folder, 'serve.cjs');
  // As it ships: what is imported from source loads more of Node than what is required from a bundle.
  await build({
    entryPoints: [path.resolve(import.meta.dirname, '../content-server.ts')],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
  const script = `
    const { ContentServer } = require(${JSON.stringify(file)});
    process.stdout.write(typeof ContentServer + process.moduleLoadList.includes('NativeModule http2'));`;
  assert.equal(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }), 'functionfalse');
});
