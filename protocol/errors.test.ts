import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError, messageOf } from './errors.ts';

test('a message is for the reader of a log: of a failed query it is what the database said', () => {
  assert.equal(messageOf(new HearthError('not_found', 'no such box')), 'no such box');
  assert.equal(messageOf('text'), 'text');
  const query = new Error('Failed query: select 1\nparams: ', {
    cause: new Error('column "x" does not exist'),
  });
  assert.equal(messageOf(query), 'column "x" does not exist');
});
