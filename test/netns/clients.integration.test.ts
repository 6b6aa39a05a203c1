import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { tempFolder } from '#agent/store/store-fixture.ts';
import { connect, machines, needsNamespaces } from './namespaces.ts';

const BOX = '198.51.100.1';
const PORT = '7090';

/** In a client's machine: so many requests one after the other, on a connection each or on one. Prints the statuses. */
const CLIENT = `
const http = require('node:http');
const [count, each] = process.argv.slice(1);
const agents = Array.from({ length: each === 'own' ? Number(count) : 1 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
const ask = (agent) => new Promise((done, fail) => {
  http.get({ host: '${BOX}', port: ${PORT}, path: '/nothing', agent }, (answer) => {
    answer.resume().once('end', () => done([answer.statusCode, answer.headers['retry-after'] ?? null]));
  }).once('error', fail);
});
(async () => {
  const answers = [];
  for (let i = 0; i < Number(count); i++) answers.push(await ask(agents[i % agents.length]));
  console.log(JSON.stringify(answers));
  process.exit(0);
})();
`;

test('what one client may do is the box’s owner’s to say', {
  ...needsNamespaces(),
  timeout: 120_000,
}, async (t) => {
  const { box, client, other } = machines(t, 'box', 'client', 'other');
  for (const [at, machine] of [client, other].entries()) {
    connect(box, `lan${at}`, machine, 'eth0');
    machine.ip('addr', 'add', `198.51.100.${2 + at}/32`, 'dev', 'eth0');
    machine.ip('route', 'add', BOX, 'dev', 'eth0');
    box.ip('route', 'add', `198.51.100.${2 + at}`, 'dev', `lan${at}`);
  }
  box.ip('addr', 'add', `${BOX}/32`, 'dev', 'lo');
  const agent = box.spawn(process.execPath, ['device-agent/main.ts'], {
    HEARTH_STATE_DIR: await tempFolder(t, 'state'),
    HEARTH_DISK: await tempFolder(t, 'disk'),
    HEARTH_DISK_ON_ROOT: 'yes',
    HEARTH_BIND: '0.0.0.0',
    HEARTH_CONTENT_PORT: PORT,
    HEARTH_PORT_MAPPING: 'off',
    HEARTH_CLIENT_CONNECTIONS: '3',
    HEARTH_CLIENT_REQUESTS: '1',
  });
  if (!agent.stdout) throw new Error('no output');
  for await (const line of createInterface({ input: agent.stdout }))
    if (line.includes('"msg":"ready"')) break;
  agent.stdout.resume();
  const ask = (from: typeof client, count: number, each: 'own' | 'one'): [number, string | null][] =>
    JSON.parse(from.exec(process.execPath, ['-e', CLIENT, String(count), each]));

  const connections = ask(client, 5, 'own');
  assert.deepEqual(
    connections.map(([status]) => status),
    [404, 404, 404, 429, 429],
  );
  assert.match(connections[3]?.[1] ?? '', /^\d+$/, 'Retry-After');
  // Ten at once, then one a second: of sixty on one connection not all can be had, however slow this machine is.
  const statuses = ask(other, 60, 'one').map(([status]) => status);
  assert.ok(
    statuses.slice(0, 10).every((status) => status === 404),
    String(statuses),
  );
  assert.ok(statuses.includes(429), String(statuses));
});
