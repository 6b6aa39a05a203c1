import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Earnings } from '#protocol/messages.ts';
import { creditsForChart, formatBytes, formatCredits, formatDay, formatNumber } from '../format.ts';
import { language } from '../i18n.ts';
import { sharedText as t } from '../text.ts';

type Day = Earnings['days'][number];

/**
 * Credits by day as bars. The figures are the fleet's own; floats are used for the height of a bar and nothing
 * else. The same figures stand in a table for those who cannot see the bars.
 */
export function EarningsChart({ days, height = 200 }: { days: Day[]; height?: number }) {
  const place = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const key = days.map((day) => `${day.date}:${day.microCredits}`).join();

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    let chart: uPlot | null = null;
    const draw = () => {
      chart?.destroy();
      chart = makeChart(element, days, height, setPointed);
    };
    draw();
    const resized = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    scheme.addEventListener('change', draw);
    return () => {
      scheme.removeEventListener('change', draw);
      resized.disconnect();
      chart?.destroy();
    };
  }, [key, height, language.value]);

  const day = pointed === null ? undefined : days[pointed];
  const nothing = days.every((each) => each.microCredits === '0');
  return (
    <figure class="chart">
      <figcaption class="chart-read">
        {day ? (
          <span class="strong">
            {t('chart.reading', {
              day: formatDay(day.date),
              credits: formatCredits(day.microCredits),
              bytes: formatBytes(day.bytes),
            })}
          </span>
        ) : (
          <span class="soft">{t(nothing ? 'chart.empty' : 'chart.hint')}</span>
        )}
      </figcaption>
      <div class="chart-canvas" ref={place} style={{ height: `${height}px` }} aria-hidden="true" />
      <div class="visually-hidden">
        <table>
          <caption>{t('chart.table')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('chart.day')}</th>
              <th scope="col">{t('chart.credits')}</th>
              <th scope="col">{t('chart.bytes')}</th>
              <th scope="col">{t('chart.requests')}</th>
            </tr>
          </thead>
          <tbody>
            {days.map((each) => (
              <tr key={each.date}>
                <th scope="row">{formatDay(each.date)}</th>
                <td>{formatCredits(each.microCredits)}</td>
                <td>{formatBytes(each.bytes)}</td>
                <td>{formatNumber(each.requests)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

function makeChart(
  element: HTMLElement,
  days: Day[],
  height: number,
  onPoint: (index: number | null) => void,
): uPlot {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const highest = Math.max(...days.map((day) => creditsForChart(day.microCredits)), 0);
  const bars = uPlot.paths.bars?.({ size: [0.72, 44], radius: 0.18 });
  const axis = { stroke: colour('--ink-soft'), font, ticks: { show: false } };
  return new uPlot(
    {
      width: element.clientWidth,
      height,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: [-0.6, days.length - 0.4] },
        y: { range: [0, highest === 0 ? 1 : highest * 1.08] },
      },
      series: [
        {},
        {
          ...(bars ? { paths: bars } : {}),
          fill: colour('--ember-fill'),
          stroke: colour('--ember-fill'),
          width: 0,
          points: { show: false },
        },
      ],
      axes: [
        {
          ...axis,
          size: 28,
          gap: 6,
          grid: { show: false },
          space: 64,
          incrs: [1, 2, 3, 5, 7, 10, 15],
          values: (_chart, splits) =>
            splits.map((at) => {
              const day = Number.isInteger(at) ? days[at] : undefined;
              return day ? formatDay(day.date) : '';
            }),
        },
        {
          ...axis,
          size: 52,
          gap: 6,
          space: 44,
          grid: { stroke: colour('--line'), width: 1 },
          values: (_chart, splits) =>
            splits.map((value) => (highest === 0 && value > 0 ? '' : formatNumber(value, value < 1 ? 4 : 2))),
        },
      ],
      hooks: { setCursor: [(chart) => onPoint(chart.cursor.idx ?? null)] },
    },
    [days.map((_day, index) => index), days.map((day) => creditsForChart(day.microCredits))],
    element,
  );
}
