import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerText } from './answer.ts';

test('results are told in words, refusals as they came', () => {
  const sha256 = 'ab12cd34'.repeat(8);
  const check = JSON.stringify({ type: 'spot-check', sha256, chunkIndex: 4, proof: sha256 });
  assert.equal(answerText(check), 'Piece 5 of ab12cd34…');
  const found = {
    type: 'get',
    sha256,
    sizeBytes: 22_700_000,
    state: 'held',
    bytesDone: 1,
    verifiedAt: null,
    assets: [],
  };
  assert.equal(answerText(JSON.stringify(found)), 'Held, 22.7 MB');
  assert.equal(answerText('the disk is read-only'), 'the disk is read-only');
  assert.equal(answerText('null'), 'null');
  assert.equal(answerText(null), null);
});
