import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Origin } from '#local/origin.ts';
import { listen } from '#local/origin.ts';
import type { LoadPlan, LoadResult } from './load-plan.ts';
import { loadResultSchema } from './load-plan.ts';
import { median } from './measure.ts';
import { asJson, asTable } from './report.ts';

async function load(plan: LoadPlan): Promise<LoadResult> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'load.ts'), JSON.stringify(plan)]);
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  await new Promise((done) => child.once('close', done));
  return loadResultSchema.parse(JSON.parse(output.trim().split('\n').at(-1) ?? ''));
}

describe('bench load', () => {
  let server: Origin;
  let answered = 0;
  before(async () => {
    server = await listen(
      createServer((request, response) => {
        answered += 1;
        if (request.url === '/wrong') response.writeHead(500).end();
        // Every 50th closes, as nginx does after keepalive_requests.
        else
          response
            .setHeader('connection', answered % 50 === 0 ? 'close' : 'keep-alive')
            .end('x'.repeat(10_000));
      }),
      0,
    );
  });
  after(() => server.close());
  const plan = (changes: Partial<LoadPlan> = {}): LoadPlan => ({
    port: server.port,
    host: 'bench',
    paths: ['/right'],
    connections: 4,
    warmupMs: 50,
    measureMs: 400,
    expectStatus: 200,
    expectBytes: 10_000,
    ...changes,
  });

  it('counts what came, over connections that are opened again', async () => {
    const result = await load(plan());
    assert.deepEqual([result.errors, result.firstError], [0, null]);
    assert.ok(result.requests > 60, JSON.stringify(result));
    assert.ok(Math.abs(result.bytes - result.requests * 10_000) <= 8 * 10_000, JSON.stringify(result));
    assert.ok(result.p50Ms > 0 && result.p99Ms >= result.p50Ms);
  });

  it('does not count answers that are not the expected ones', async () => {
    const wrong = await load(plan({ paths: ['/wrong'] }));
    assert.deepEqual([wrong.requests, wrong.errors], [0, 4]);
    assert.match(wrong.firstError ?? '', /status 500/);
    const short = await load(plan({ expectBytes: 9_999 }));
    assert.deepEqual([short.requests, short.errors], [0, 4]);
  });
});

it('medians and figures', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  const figure = {
    bench: 'serve',
    case: 'http 64KiB c16',
    value: 1234.567,
    unit: 'MB/s',
    peer: 'nginx-tuned',
    ratio: 0.98765,
  };
  assert.equal(
    asJson(figure),
    '{"bench":"serve","case":"http 64KiB c16","value":1235,"unit":"MB/s","peer":"nginx-tuned","ratio":0.9877}',
  );
  assert.equal(
    asTable([{ ...figure, peer: null, ratio: null }, figure]),
    'BENCH  CASE            UNIT  VALUE  x nginx-tuned\nserve  http 64KiB c16  MB/s   1235           0.99\n',
  );
});
