/** How findings are shown: tables on the terminal, charts as SVG. */
import { milliseconds, table } from './measure.js';
import { type Findings, isMet, type Point, type Question, type Ratio } from './question.js';
import { drawChart } from './svg.js';

export function printQuestion({ name, question, peers, unequal }: Question): void {
  console.log(`\n=== ${name}: ${question}\nPeers: ${peers}.\nNot equal: ${unequal}.`);
}

export function printFindings({ unit, xLabel }: Question, place: string, found: Findings): void {
  const { points, ratios, notes } = found;
  console.log(`\n${place}: ${unit}, median (p10–p90)`);
  const sizes = [...new Set([...points, ...ratios].map(({ x }) => x))].toSorted((a, b) => a - b);
  const head = [xLabel, ...sizes.map(String)];
  const seriesRows = [...new Set(points.map(({ series }) => series))].map((series) => [
    series,
    ...sizes.map((x) => cellOf(points.find((point) => point.series === series && point.x === x))),
  ]);
  const ratioRows = [...new Set(ratios.map(({ what }) => what))].map((what) => [
    what,
    ...sizes.map((x) => verdict(ratios.find((ratio) => ratio.what === what && ratio.x === x))),
  ]);
  console.log(table([head, ...seriesRows, ...ratioRows]));
  for (const note of notes) console.log(`- ${note}`);
}

function cellOf(point: Point | undefined): string {
  if (point === undefined) return '';
  const { median, p10, p90, rounds } = point.spread;
  const value = milliseconds(median);
  return rounds === 1 ? value : `${value} (${milliseconds(p10)}–${milliseconds(p90)})`;
}

function verdict(ratio: Ratio | undefined): string {
  if (ratio === undefined) return '';
  const value = `${milliseconds(ratio.value)}${ratio.unit ?? '×'}`;
  if (ratio.limit === undefined) return value;
  const sign = ratio.limit.kind === 'at least' ? '≥' : '≤';
  return `${value} ${sign}${milliseconds(ratio.limit.value)} ${isMet(ratio) ? 'pass' : 'FAIL'}`;
}

/** @returns SVG text. */
export function chartOf(question: Question, place: string, { points }: Findings): string {
  const names = [...new Set(points.map(({ series }) => series))];
  return drawChart({
    title: `${question.name} on ${place}`,
    xLabel: question.xLabel,
    yLabel: question.unit,
    lines: names.map((name) => ({
      name,
      points: points
        .filter(({ series, spread }) => series === name && spread.median > 0)
        .map(({ x, spread }) => [x, spread.median] as const),
    })),
  });
}
