import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const css = readFileSync(join(import.meta.dirname, 'tokens.css'), 'utf8');
const [lightCss = '', darkCss = ''] = css.split(':root[data-theme="dark"]');

/** Colours by name, of one theme; the dark one changes some of the light one's. */
function colours(...blocks: string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const block of blocks) {
    for (const [, name = '', value = ''] of block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g))
      found.set(name, value);
  }
  return found;
}

/** Relative luminance, WCAG 2.2. */
function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** What is read on what: 4.5 by WCAG AA. */
const TEXT: [ink: string, ground: string][] = [
  ...['bg', 'surface', 'sunken', 'good-soft', 'warn-soft', 'bad-soft'].flatMap(
    (ground): [string, string][] => [
      ['ink', ground],
      ['ink-soft', ground],
    ],
  ),
  ...['good', 'warn', 'bad'].flatMap((ink): [string, string][] => [
    [ink, `${ink}-soft`],
    [ink, 'surface'],
  ]),
  ['ember', 'ember-soft'],
  ['ember', 'surface'],
  ['ember', 'bg'],
  ['ember', 'sunken'],
  ['on-ink', 'ink'],
  ['on-ink', 'bad'],
  ['hearth-ink', 'hearth'],
  ['hearth-soft', 'hearth'],
];
/** What must be told apart without being read, such as a field's border or the focus: 3 by WCAG AA. */
const SHAPES: [shape: string, ground: string][] = [
  ['line-strong', 'surface'],
  ['line-strong', 'bg'],
  ['focus', 'bg'],
  ['focus', 'surface'],
];

for (const [theme, palette] of [
  ['light', colours(lightCss)],
  ['dark', colours(lightCss, darkCss)],
] as const) {
  test(`${theme}: what is read has contrast enough, and so has what is only seen`, () => {
    for (const [pairs, least] of [
      [TEXT, 4.5],
      [SHAPES, 3],
    ] as const) {
      for (const [front, ground] of pairs) {
        const a = palette.get(front);
        const b = palette.get(ground);
        assert.ok(a && b, `${front} on ${ground} is not in the tokens`);
        const ratio = contrast(a, b);
        assert.ok(ratio >= least, `${front} on ${ground}: ${ratio.toFixed(2)}, at least ${least}`);
      }
    }
  });
}
