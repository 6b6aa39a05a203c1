import { table } from '#fleet/client/format.ts';

/** One figure. `ratio` is ours beside the peer's, turned so that above 1 ours is better. */
export interface Figure {
  bench: string;
  case: string;
  value: number;
  unit: string;
  peer: string | null;
  ratio: number | null;
}

/** One JSON object on one line. */
export function asJson(figure: Figure): string {
  return JSON.stringify({
    ...figure,
    value: rounded(figure.value),
    ratio: figure.ratio === null ? null : rounded(figure.ratio),
  });
}

/** A table: one row for each case and unit, a column for each peer's ratio. */
export function asTable(figures: Figure[]): string {
  const peers = [...new Set(figures.flatMap((figure) => figure.peer ?? []))];
  const rows = new Map<string, { figure: Figure; ratios: Map<string, number> }>();
  for (const figure of figures) {
    const key = `${figure.bench}\0${figure.case}\0${figure.unit}`;
    const row = rows.get(key) ?? { figure, ratios: new Map() };
    if (figure.peer !== null && figure.ratio !== null) row.ratios.set(figure.peer, figure.ratio);
    rows.set(key, row);
  }
  const head = ['BENCH', 'CASE', 'UNIT', 'VALUE', ...peers.map((peer) => `x ${peer}`)];
  const body = [...rows.values()].map(({ figure, ratios }) => [
    figure.bench,
    figure.case,
    figure.unit,
    String(rounded(figure.value)),
    ...peers.map((peer) => ratios.get(peer)?.toFixed(2) ?? ''),
  ]);
  return table(head, body);
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
