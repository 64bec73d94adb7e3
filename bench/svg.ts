/** Line charts with logarithmic axes, as SVG text. */

export interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly lines: readonly Line[];
}

const [width, height] = [760, 440];
const plot = { left: 70, top: 40, right: 500, bottom: 380 };
const colours = ['#0b62a4', '#c2410c', '#15803d', '#7e22ce', '#a16207', '#be123c', '#334155'];

export function drawChart({ title, xLabel, yLabel, lines }: Chart): string {
  const all = lines.flatMap(({ points }) => points);
  const x = logAxis(
    all.map(([value]) => value),
    [plot.left, plot.right],
  );
  const y = logAxis(
    all.map(([, value]) => value),
    [plot.bottom, plot.top],
  );
  const middle = (plot.top + plot.bottom) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(width)} ${String(height)}" font-family="sans-serif" font-size="12">`,
    `<title>${escape(title)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(plot.left, 22, title, 'font-size="15" font-weight="bold"'),
    ...x.ticks.flatMap((value) => [
      rule([x.at(value), plot.top], [x.at(value), plot.bottom]),
      text(x.at(value), plot.bottom + 18, short(value), 'text-anchor="middle"'),
    ]),
    ...y.ticks.flatMap((value) => [
      rule([plot.left, y.at(value)], [plot.right, y.at(value)]),
      text(plot.left - 6, y.at(value) + 4, short(value), 'text-anchor="end"'),
    ]),
    text((plot.left + plot.right) / 2, plot.bottom + 42, xLabel, 'text-anchor="middle"'),
    text(16, middle, yLabel, `text-anchor="middle" transform="rotate(-90 16 ${String(middle)})"`),
    ...lines.flatMap(({ name, points }, index) => {
      const colour = colours[index % colours.length] ?? '';
      const places = points.map(([px, py]) => [round(x.at(px)), round(y.at(py))] as const);
      const row = plot.top + 14 + index * 22;
      return [
        `<polyline points="${places.map((place) => place.join(',')).join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`),
        `<rect x="${String(plot.right + 14)}" y="${String(row - 9)}" width="12" height="10" fill="${colour}"/>`,
        text(plot.right + 32, row, name),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}

interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Whole decades around the values, with a tick at each. */
function logAxis(values: readonly number[], [from, to]: readonly [number, number]): Axis {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive))));
  return {
    at: (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)),
  };
}

function short(value: number): string {
  if (value >= 1e6) return `${String(value / 1e6)}M`;
  if (value >= 1e3) return `${String(value / 1e3)}k`;
  return String(Number(value.toPrecision(1)));
}

function rule([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="#d4d4d4"/>`;
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${round(x)}" y="${round(y)}" fill="#1f2937" ${attributes}>${escape(content)}</text>`;
}

function round(value: number): string {
  return value.toFixed(1);
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
