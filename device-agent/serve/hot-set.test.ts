import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Buffers } from './buffers.ts';
import { HOT_OBJECT_BYTES, HotSet } from './hot-set.ts';

test('hot set: bounded in bytes, least recently used forgotten first', () => {
  const hot = new HotSet(250);
  hot.set('a', Buffer.alloc(100));
  hot.set('b', Buffer.alloc(100));
  hot.get('a');
  hot.set('c', Buffer.alloc(100));
  assert.equal(hot.get('b'), undefined);
  assert.ok(hot.get('a') && hot.get('c'));
  assert.equal(hot.bytes, 200);
  hot.set('a', Buffer.alloc(50));
  assert.equal(hot.bytes, 150);
  hot.set('large', Buffer.alloc(HOT_OBJECT_BYTES + 1));
  assert.equal(hot.bytes, 150);
  hot.delete('a');
  hot.clear();
  assert.equal(hot.bytes, 0);
});

test('buffers: the more responses the smaller, and used again', () => {
  const buffers = new Buffers();
  const large = buffers.take(1);
  assert.equal(large.length, 256 * 1024);
  buffers.give(large);
  assert.equal(buffers.take(16), large);
  assert.equal(buffers.take(17).length, 64 * 1024);
  // A thousand responses, each with a buffer, take no more than 16 MiB.
  assert.equal(buffers.take(1000).length, 16 * 1024);
});
