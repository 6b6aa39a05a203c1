import { useEffect, useRef, useState } from 'preact/hooks';
import { language } from '../i18n.ts';
import { theme } from '../theme.ts';

export interface ChartRow {
  name: string;
  /** Height of the bar: for drawing only. */
  value: number;
  /** What the table says, one for each column after the first. */
  cells: string[];
  /** What is said of the bar that is pointed at. */
  reading: string;
}

interface ChartProps {
  /** What the table is of. */
  caption: string;
  columns: string[];
  rows: ChartRow[];
  hint: string;
  /** Said instead of the hint when there is nothing to see. */
  empty: string;
  axis: (value: number) => string;
  /** What the axis counts, where its figures do not say. */
  unit?: string;
  height?: number;
}

/** Bars for those who see them, the same figures in a table for those who do not. */
export function BarChart({ caption, columns, rows, hint, empty, axis, unit = '', height = 200 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const key = rows.map((row) => `${row.name}:${row.value}`).join();

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    let chart: { destroy: () => void; setSize: (size: { width: number; height: number }) => void } | null =
      null;
    let gone = false;
    const resized = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height }));
    import('./bar-canvas.ts').then(
      ({ drawBars }) => {
        if (gone) return;
        chart = drawBars(element, {
          values: rows.map((row) => row.value),
          names: rows.map((row) => row.name),
          height,
          axis,
          onPoint: setPointed,
        });
        resized.observe(element);
      },
      () => {
        // The table says it all; the next draw asks again.
      },
    );
    return () => {
      gone = true;
      resized.disconnect();
      chart?.destroy();
    };
  }, [key, height, language.value, theme.value]);

  const row = pointed === null ? undefined : rows[pointed];
  const nothing = rows.every((each) => each.value === 0);
  return (
    <figure class="chart">
      <figcaption class="chart-read">
        {row ? <span class="strong">{row.reading}</span> : <span class="soft">{nothing ? empty : hint}</span>}
      </figcaption>
      {unit === '' || nothing ? null : (
        <span class="chart-unit soft small" aria-hidden="true">
          {unit}
        </span>
      )}
      <div class="chart-canvas" ref={place} style={{ height: `${height}px` }} aria-hidden="true" />
      <div class="visually-hidden">
        <table>
          <caption>{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((each) => (
              <tr key={each.name}>
                <th scope="row">{each.name}</th>
                {each.cells.map((cell, index) => (
                  <td key={index}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}
