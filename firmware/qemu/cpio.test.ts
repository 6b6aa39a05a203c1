import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { needsTool } from '#test/support/tools.ts';
import { cpioArchive } from './cpio.ts';

describe('an archive for the kernel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-cpio-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('starts every header and every file at a multiple of four', () => {
    const bytes = cpioArchive([
      { path: 'a', kind: 'folder' },
      { path: 'a/bb', kind: 'file', mode: 0o644, data: Buffer.from('12345') },
    ]);
    let at = 0;
    const names: string[] = [];
    while (names.at(-1) !== 'TRAILER!!!') {
      assert.equal(bytes.toString('latin1', at, at + 6), '070701');
      const field = (index: number) =>
        Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
      names.push(bytes.toString('latin1', at + 110, at + 110 + field(11) - 1));
      const data = Math.ceil((at + 110 + field(11)) / 4) * 4;
      if (names.at(-1) === 'a/bb') assert.equal(bytes.toString('latin1', data, data + field(6)), '12345');
      at = Math.ceil((data + field(6)) / 4) * 4;
    }
    assert.deepEqual(names, ['a', 'a/bb', 'TRAILER!!!']);
    assert.equal(at, bytes.length);
  });

  it('is read by cpio itself', needsTool('cpio'), () => {
    const archive = cpioArchive([
      { path: 'bin', kind: 'folder' },
      { path: 'bin/tool', kind: 'file', mode: 0o755, data: Buffer.from('#!/bin/sh\n') },
      { path: 'bin/other', kind: 'link', target: 'tool' },
    ]);
    writeFileSync(join(folder, 'archive'), archive);
    execFileSync('sh', ['-c', 'cpio -id --quiet < archive'], { cwd: folder });
    assert.equal(readFileSync(join(folder, 'bin/tool'), 'utf8'), '#!/bin/sh\n');
    assert.equal(statSync(join(folder, 'bin/tool')).mode & 0o777, 0o755);
    assert.equal(readlinkSync(join(folder, 'bin/other')), 'tool');
  });
});
