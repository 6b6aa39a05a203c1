import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { architectureOf } from '#protocol/release.ts';
import { kindOfProgram } from './program-kind.ts';

test('an executable says for which processor it was built', () => {
  assert.deepEqual(kindOfProgram(readFileSync(process.execPath)), {
    architecture: architectureOf(process.arch),
    version: null,
  });
  const elf = Buffer.alloc(64);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 1, 1]);
  for (const [machine, architecture] of [
    [40, 'armv7'],
    [183, 'arm64'],
    [62, 'x64'],
    [8, null],
  ] as const) {
    elf.writeUInt16LE(machine, 18);
    assert.equal(kindOfProgram(elf).architecture, architecture);
  }
  assert.equal(kindOfProgram(elf.subarray(0, 10)).architecture, null);
});

test('the agent as one file says it in its first lines', () => {
  const program = '#!/usr/bin/env node\n// hearth-agent 1.4.0 armv7\n"use strict";';
  assert.deepEqual(kindOfProgram(Buffer.from(program)), { architecture: 'armv7', version: '1.4.0' });
  for (const other of ['', 'an executable', '// hearth-agent', '// hearth-agent 1.4.0 mips']) {
    assert.equal(kindOfProgram(Buffer.from(other)).architecture, null, other);
  }
});
