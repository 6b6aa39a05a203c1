import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guardsOf, isTextual, toldType } from './content-type.ts';

const policyOf = (type: string) => guardsOf(type)[1];

test('types that run scripts get an origin of their own, in whatever spelling', () => {
  for (const type of [
    'text/html',
    'TEXT/HTML; charset=utf-8',
    'text/html;charset=utf-8;',
    'image/svg+xml',
    'application/xhtml+xml',
    'application/xml',
    'text/xml',
    'application/rss+xml',
    'application/vnd.wap.xhtml+xml',
  ]) {
    assert.match(policyOf(type) ?? '', /^sandbox allow-.*allow-scripts/, type);
    assert.doesNotMatch(policyOf(type) ?? '', /same-origin/, type);
  }
  for (const type of ['video/mp4', 'text/css', 'text/javascript', 'application/pdf', 'text/plain']) {
    assert.deepEqual(guardsOf(type), [], type);
  }
});

test('envelopes are only for download', () => {
  const guards = guardsOf('multipart/x-mixed-replace; boundary=x');
  assert.ok(guards.includes('attachment') && guards.includes('sandbox'));
});

test('what is no media type is told as plain bytes', () => {
  for (const type of ['', 'text', 'text/html, text/plain', 'text/html\tx', 'a/b;c', '/html', '<html>']) {
    assert.equal(toldType(type), 'application/octet-stream', type);
  }
  for (const type of ['text/html', 'text/plain; charset="utf-8"', 'a/b ; c=d;e=f', 'video/mp4']) {
    assert.equal(toldType(type), type);
  }
});

test('text is told from what is compressed already', () => {
  for (const type of [
    'text/css; charset=utf-8',
    'application/json',
    'image/svg+xml',
    'application/ld+json',
  ]) {
    assert.ok(isTextual(type), type);
  }
  for (const type of ['video/mp4', 'image/png', 'font/woff2', 'application/zip', 'video/mp2t']) {
    assert.ok(!isTextual(type), type);
  }
});
