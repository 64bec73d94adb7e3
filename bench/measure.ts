/** Numbers of many rounds, and how they are printed. */

export interface Spread {
  readonly rounds: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly p95: number;
  readonly mean: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const quantile = (share: number): number => {
    const at = (sorted.length - 1) * share;
    const below = sorted[Math.floor(at)] ?? Number.NaN;
    const above = sorted[Math.ceil(at)] ?? Number.NaN;
    return below + (above - below) * (at % 1);
  };
  return {
    rounds: values.length,
    median: quantile(0.5),
    p10: quantile(0.1),
    p90: quantile(0.9),
    p95: quantile(0.95),
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  };
}

/** Runs `act` and returns how long it took, in milliseconds. */
export async function timed(act: () => unknown): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** Three significant digits: `0.62`, `8.1`, `283`. */
export function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

/** Pads the cells of each column to one width: the first column to the left, others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
