import uPlot from 'uplot';

export interface BarSpec {
  values: readonly number[];
  names: readonly string[];
  height: number;
  /** What the vertical axis says at a value. */
  axis: (value: number) => string;
  onPoint: (index: number | null) => void;
}

/** Draws bars into an element, in the colours its style says. Loaded when a chart is first shown. */
export function drawBars(element: HTMLElement, spec: BarSpec): uPlot {
  const { values, names, height } = spec;
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const highest = Math.max(...values, 0);
  const bars = uPlot.paths.bars?.({ size: [0.72, 44], radius: 0.18 });
  const axis = { stroke: colour('--ink-soft'), font, ticks: { show: false } };
  return new uPlot(
    {
      width: element.clientWidth,
      height,
      legend: { show: false },
      // Room for half of the newest bar's name.
      padding: [8, 24, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: [-0.6, values.length - 0.4] },
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
          size: 30,
          gap: 10,
          grid: { show: false },
          space: 64,
          incrs: [1, 2, 3, 4, 5, 6, 7, 10, 15],
          // Counted back from the newest: the bar one looks for first has its name.
          splits: (_chart, _axis, _least, _most, step) => {
            const every = Math.max(1, Math.round(step));
            return names.map((_name, at) => at).filter((at) => (names.length - 1 - at) % every === 0);
          },
          values: (_chart, splits) => splits.map((at) => names[at] ?? ''),
        },
        {
          ...axis,
          size: 60,
          gap: 6,
          space: 44,
          grid: { stroke: colour('--line'), width: 1 },
          values: (_chart, splits) =>
            splits.map((value) => (highest === 0 && value > 0 ? '' : spec.axis(value))),
        },
      ],
      hooks: { setCursor: [(chart) => spec.onPoint(chart.cursor.idx ?? null)] },
    },
    [names.map((_name, index) => index), [...values]],
    element,
  );
}
