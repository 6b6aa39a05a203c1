import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '#fleet/client/fleet-api.ts';
import { testPort } from '#test/support/system.ts';
import { findTool } from '#test/support/tools.ts';
import { childrenOf } from './measure.ts';

export type NginxKind = 'packaged' | 'tuned';

/** What Debian's /etc/nginx/nginx.conf says about serving files; and what it can do. */
const SETTINGS: Record<NginxKind, string> = {
  packaged: 'sendfile on; tcp_nopush on; types_hash_max_size 2048; gzip on; access_log access.log;',
  tuned:
    'sendfile on; tcp_nopush off; sendfile_max_chunk 512k; keepalive_requests 100000000; access_log off;',
};

export interface Nginx {
  name: string;
  port: number;
  /** Null without a certificate. */
  securePort: number | null;
  /** Its workers. */
  workerPids: number[];
  stop(): Promise<void>;
}

/** PEM files. */
export interface CertificateFiles {
  cert: string;
  key: string;
}

/** Starts nginx over `root`, with one worker if nothing else is said; null where it is not installed. Answers 302 at /redirect. */
export async function startNginx(
  kind: NginxKind,
  root: string,
  directory: string,
  certificate: CertificateFiles | null = null,
  workers = 1,
): Promise<Nginx | null> {
  const program = findTool('nginx');
  if (program === null) return null;
  const port = await testPort();
  const securePort = certificate ? await testPort() : null;
  const secure = certificate
    ? `listen 127.0.0.1:${securePort} ssl; ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key};
       ssl_protocols TLSv1.3; ssl_session_cache shared:bench:1m;`
    : '';
  const name = workers === 1 ? `nginx-${kind}` : `nginx-${kind}-${workers}`;
  const home = join(directory, name);
  mkdirSync(home, { recursive: true });
  // Its worker runs as another user when we are root.
  for (const path of [directory, home, root]) chmodSync(path, 0o755);
  const conf = join(home, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${name};`,
  );
  writeFileSync(
    conf,
    `daemon off; worker_processes ${workers}; pid nginx.pid; error_log error.log;
     events { worker_connections 4096; }
     http {
       ${SETTINGS[kind]} ${temporary.join(' ')}
       default_type application/octet-stream;
       server {
         listen 127.0.0.1:${port} default_server;
         ${secure}
         root ${root};
         location = /redirect { return 302 http://127.0.0.1/elsewhere; }
       }
     }`,
  );
  const child = spawn(program, ['-p', home, '-c', conf, '-e', join(home, 'error.log')], { stdio: 'ignore' });
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  process.once('exit', () => child.kill('SIGTERM'));
  await waitFor(
    async () => {
      if (child.exitCode !== null)
        throw new Error(`nginx ended with ${child.exitCode}; see ${home}/error.log`);
      return fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => null,
      );
    },
    'nginx does not answer',
    { timeoutMs: 10_000 },
  );
  return {
    name,
    port,
    securePort,
    workerPids: childrenOf(child.pid ?? 0),
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
