import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { ERROR_CODES } from '#protocol/errors.ts';
import { ACTIVITY_KINDS } from '#protocol/http-box.ts';
import { ASSET_STATES, DISK_STATES } from '#protocol/messages.ts';
import { boxEn } from '#webui/box/messages/en.ts';
import { boxZh } from '#webui/box/messages/zh.ts';
import { fleetEn } from '#webui/fleet/messages/en.ts';
import { fleetZh } from '#webui/fleet/messages/zh.ts';
import { chooseLanguage, fill, language, translator } from './i18n.ts';
import { sharedEn } from './messages/en.ts';
import { sharedZh } from './messages/zh.ts';

const CATALOGUES: [string, Record<string, string>, Record<string, string>][] = [
  ['shared', sharedEn, sharedZh],
  ['box', boxEn, boxZh],
  ['fleet', fleetEn, fleetZh],
];

afterEach(() => {
  language.value = 'en';
});

for (const [name, en, zh] of CATALOGUES) {
  test(`${name}: both languages have the same keys, all with text`, () => {
    assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
    for (const [key, text] of [...Object.entries(en), ...Object.entries(zh)]) {
      assert.notEqual(text.trim(), '', key);
    }
  });

  test(`${name}: a translation takes the same values as its English`, () => {
    const names = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
    for (const [key, text] of Object.entries(en)) {
      for (const form of text.split('|')) assert.deepEqual(names(zh[key] ?? ''), names(form), key);
    }
  });

  test(`${name}: Chinese is Chinese, and English has no Chinese left in it`, () => {
    const han = /\p{Script=Han}/u;
    // Names, and what stays as it is in every language.
    const same = new Set(['app.name', 'language.en', 'asset.sha', 'asset.cacheControl', 'unit.mbit']);
    for (const [key, text] of Object.entries(en)) {
      if (key !== 'language.zh-Hans') assert.doesNotMatch(text, han, key);
      const words = (zh[key] ?? '').replace(/\{\w+\}|Hearth|[\s/|,:·]/g, '');
      if (!same.has(key) && words !== '') assert.match(zh[key] ?? '', han, key);
    }
  });

  test(`${name}: every text is used somewhere`, () => {
    const sources = sourceText();
    for (const key of Object.keys(en)) {
      // A key is written out, or made from its stem: t(`disk.${state}`).
      const stems = key
        .split('.')
        .map((_part, index, parts) => `\`${parts.slice(0, index + 1).join('.')}.\${`);
      const used = sources.includes(`'${key}'`) || stems.some((stem) => sources.includes(stem));
      assert.ok(used, `${key} is not used`);
    }
  });
}

/** Words that stand in a component itself: between tags, before an expression, or in what is read out. */
const HARD_CODED = [
  /(?<!=)>([^<>{}]*\p{L}{2,}[^<>{}]*)<\//gu,
  /(?<!=)>\s*([^<>{};=()]*\p{L}{2,}[^<>{};=()]*)[{<]/gu,
  /\s(?:label|title|aria-label|placeholder|alt|hint|lead|text|legend|button|caption)="([^"]*\p{L}{2,}[^"]*)"/gu,
];

test('no text is written into a component: every one has a key', () => {
  const root = join(import.meta.dirname, '..');
  const found: string[] = [];
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.tsx')) continue;
    const source = readFileSync(join(root, name), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    for (const pattern of HARD_CODED) {
      for (const [, text = ''] of source.matchAll(pattern)) {
        // Code between two type or element brackets begins with what no sentence begins with; "ID" is one word in
        // every language.
        const isCode = / (extends|implements) /.test(text) || /^[:,?]/.test(text.trim());
        if (!isCode && text.trim() !== 'ID') found.push(`${name}: ${text.trim()}`);
      }
    }
  }
  assert.deepEqual(found, []);
  for (const hard of ['<p>Hello</p>', '<p>Hello {name}</p>', '<b>你好</b>', '<Card title="Disk">']) {
    assert.ok(
      HARD_CODED.some((pattern) => new RegExp(pattern).test(hard)),
      hard,
    );
  }
});

/** Keys that code asks for, but for those made of parts. */
test('every key that is asked for has a text', () => {
  const all = new Set(CATALOGUES.flatMap(([, en]) => Object.keys(en)));
  const asked = [...sourceText().matchAll(/\bt\(\s*'([^']+)'/g)].map((match) => match[1] ?? '');
  assert.ok(asked.length > 200);
  assert.deepEqual(
    asked.filter((key) => !all.has(key)),
    [],
  );
});

test('every code the wire can carry has words', () => {
  for (const code of Object.keys(ERROR_CODES)) assert.ok(`error.${code}` in sharedEn, code);
  for (const state of DISK_STATES) assert.ok(`disk.${state}` in sharedEn, state);
  for (const state of ASSET_STATES) assert.ok(`asset.${state}` in sharedEn, state);
  for (const kind of ACTIVITY_KINDS) assert.ok(`activity.${kind}` in boxEn, kind);
});

test('the language is what was chosen before, else the first we have of those preferred', () => {
  assert.equal(chooseLanguage('zh-Hans', ['en-GB']), 'zh-Hans');
  assert.equal(chooseLanguage(null, ['zh-CN', 'en']), 'zh-Hans');
  assert.equal(chooseLanguage(null, ['fr-FR', 'zh', 'en']), 'zh-Hans');
  assert.equal(chooseLanguage('klingon', ['de-DE']), 'en');
  assert.equal(chooseLanguage(null, []), 'en');
});

test('singular and plural are picked by n, also when n is written with grouping', () => {
  assert.equal(fill('{n} file|{n} files', { n: 1 }, 'en'), '1 file');
  assert.equal(fill('{n} file|{n} files', { n: '0' }, 'en'), '0 files');
  assert.equal(fill('{n} file|{n} files', { n: '1,001' }, 'en'), '1,001 files');
  assert.equal(fill('{n} 个文件', { n: 1 }, 'zh-Hans'), '1 个文件');
});

test('a value that looks like a pattern is put in as it is', () => {
  assert.equal(fill('read {path}', { path: '/$&/{path}' }, 'en'), 'read /$&/{path}');
});

test('the lookup follows the language', () => {
  const t = translator({ hello: 'Hello {name}' }, { hello: '你好，{name}' });
  assert.equal(t('hello', { name: 'Ada' }), 'Hello Ada');
  language.value = 'zh-Hans';
  assert.equal(t('hello', { name: 'Ada' }), '你好，Ada');
});

/** All sources of the dashboards but the catalogues themselves and the tests. */
function sourceText(): string {
  const root = join(import.meta.dirname, '..');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !/messages|\.test\./.test(name))
    .map((name) => readFileSync(join(root, name), 'utf8'))
    .join('\n');
}
