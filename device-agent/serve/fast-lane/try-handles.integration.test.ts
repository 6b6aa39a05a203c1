import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Handles } from './handles.ts';
import { findHandles } from './handles.ts';
import { attempt } from './try-handles.ts';

const skip = process.platform !== 'linux';

test('handles: those of this Node are found and work', { skip }, async () => {
  const handles = findHandles();
  assert.ok(handles);
  assert.equal(await attempt(handles), handles);
});

test('handles: what does not do all that is needed is not used', { skip }, async () => {
  assert.equal(await attempt(null), null);
  const handles = findHandles();
  assert.ok(handles);
  const { WriteWrap } = handles;
  const places = Array.from(handles.state, (_, place) => place);
  const broken: [string, Partial<Handles>][] = [
    ['a state that never says that a write is under way', { state: new Int32Array(handles.state.length) }],
    [
      'a request that never completes',
      {
        WriteWrap: class extends WriteWrap {
          override set oncomplete(_done: (status: number) => void) {
            Object.defineProperty(this, 'oncomplete', { value: () => undefined });
          }
        },
      },
    ],
    ...places
      .filter((place) => place !== handles.readAt)
      .map((readAt): [string, Partial<Handles>] => [`reads told of at ${readAt}`, { readAt }]),
  ];
  for (const [what, part] of broken) {
    assert.equal(await attempt({ ...handles, ...part }, 500), null, what);
  }
});
