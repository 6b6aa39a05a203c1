import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { createCa, openCa } from '#fleet/keys/certificate-authority.ts';
import { testPort } from './system.ts';
import { requireTool } from './tools.ts';

export interface Pebble {
  directoryUrl: string;
  /** PEM file: who signed the server's own certificate. */
  caFile: string;
  /** The root that signs what it issues, PEM. */
  root(): Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts Let's Encrypt's test server. It rejects good nonces and sleeps before it validates, as it does by default: a
 * client must live with both.
 * @param dnsServer `host:port` of the resolver it validates with
 */
export async function startPebble(directory: string, dnsServer: string): Promise<Pebble> {
  const [port, managementPort] = [await testPort(), await testPort()];
  const ca = openCa(await createCa());
  const own = await ca.issueServer(['localhost', '127.0.0.1']);
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${managementPort}`,
      certificate: file('pebble-cert.pem', own.certificatePem),
      privateKey: file('pebble-key.pem', own.keyPem),
      httpPort: 5002,
      tlsPort: 5001,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
    },
  };
  const caFile = file('pebble-ca.pem', ca.certificatePem);
  const child = spawn(
    requireTool('pebble'),
    ['-config', file('pebble.json', JSON.stringify(config)), '-strict', '-dnsserver', dnsServer],
    { stdio: 'ignore', env: { ...process.env, PEBBLE_VA_SLEEPTIME: '1', PEBBLE_WFE_NONCEREJECT: '30' } },
  );
  const get = (url: string): Promise<string> =>
    new Promise((resolve, reject) => {
      https
        .get(url, { ca: ca.certificatePem }, (response) => {
          let text = '';
          response.on('data', (piece) => {
            text += String(piece);
          });
          response.on('end', () => resolve(text));
        })
        .on('error', reject);
    });
  const directoryUrl = `https://127.0.0.1:${port}/dir`;
  await waitFor(() => get(directoryUrl).catch(() => null), 'pebble does not answer', { timeoutMs: 20_000 });
  return {
    directoryUrl,
    caFile,
    root: () => get(`https://127.0.0.1:${managementPort}/roots/0`),
    async stop() {
      if (child.exitCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}
