import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimCodeSchema, newClaimCode } from '#protocol/ids.ts';
import { isWholeClaimCode, tidyClaimCode } from './claim-code.ts';

test('a code is grouped as it is typed', () => {
  assert.equal(tidyClaimCode('7k3m'), '7K3M');
  assert.equal(tidyClaimCode('7k3m9'), '7K3M-9');
  assert.equal(tidyClaimCode(' 7k3m 9q2x-5d1w and more'), '7K3M-9Q2X-5D1W');
});

test('letters that look alike are read as the fleet reads them', () => {
  assert.equal(tidyClaimCode('oil0'), '0110');
  const typed = 'o0il-1abc-zzzz';
  assert.equal(tidyClaimCode(typed), claimCodeSchema.parse(typed));
});

test('every code the fleet makes is whole, and what the fleet would refuse is not', () => {
  for (let n = 0; n < 100; n++) {
    const code = newClaimCode();
    assert.equal(tidyClaimCode(code), code);
    assert.ok(isWholeClaimCode(code));
  }
  assert.ok(!isWholeClaimCode('7K3M-9Q2X'));
  assert.ok(!isWholeClaimCode('UUUU-UUUU-UUUU'));
});
