import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPatiently } from './connecting.ts';

const SERVER = `const server = require('node:http').createServer((_, response) => response.end('here'));
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;

test('a host that answers late, and has another address where nobody is, is reached', {
  skip: process.platform === 'linux' ? false : 'needs Linux (a full queue drops what comes)',
}, async (t) => {
  const before = net.getDefaultAutoSelectFamilyAttemptTimeout();
  t.after(() => net.setDefaultAutoSelectFamilyAttemptTimeout(before));
  connectPatiently(30_000);
  const server = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill('SIGKILL'));
  const [said] = await once(server.stdout, 'data');
  const port = Number(said);
  // It takes nobody while it is stopped, and with its queue full the kernel drops what comes: as on a slow line.
  server.kill('SIGSTOP');
  const queued: net.Socket[] = [];
  t.after(() => {
    for (const socket of queued) socket.destroy();
  });
  for (let isFull = false; !isFull; ) {
    assert.ok(queued.length < 20, 'its queue does not fill up');
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    queued.push(socket);
    isFull = await Promise.race([once(socket, 'connect').then(() => false), sleep(1_000, true)]);
  }
  const request = http.get({
    host: 'late.example.org',
    port,
    agent: false,
    lookup: (_name, _options, found) =>
      found(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ]),
  });
  const answered = once(request, 'response');
  await sleep(600);
  server.kill('SIGCONT');
  const [answer] = (await answered) as [http.IncomingMessage];
  assert.equal(answer.statusCode, 200);
  answer.resume();
});
