import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { isWebuiStale } from './webui.ts';

it('dashboards are stale when missing or older than a source', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-webui-'));
  const write = (path: string, at: number) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '');
    utimesSync(join(root, path), at, at);
  };
  try {
    write('webui/box/app.tsx', 1000);
    assert.ok(isWebuiStale(root));
    write('dist/webui/box/index.html', 1001);
    assert.ok(isWebuiStale(root), 'the other one is missing');
    write('dist/webui/fleet/index.html', 1001);
    assert.ok(!isWebuiStale(root));
    write('protocol/messages.ts', 1002);
    assert.ok(isWebuiStale(root));
  } finally {
    rmSync(root, { recursive: true });
  }
});
