import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runIndex } from './index.ts';

const onLinux = process.platform === 'linux' ? {} : { skip: 'reads resident memory' };

test(
  'an index of 250,000 objects takes less than 60 MB, which plain objects would take six times',
  onLinux,
  () => {
    const { rssBytes } = runIndex('catalog', 250_000);
    assert.ok(rssBytes < 60e6, `${rssBytes} bytes`);
  },
);
