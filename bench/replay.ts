// `npm run bench:replay [-- TRACE…]`: replays whole public histories, and compares every state.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { openStore } from '../src/engine/index.js';
import { milliseconds, spreadOf, table } from './measure.js';
import { makeScratch } from './scratch.js';
import {
  emptyTree,
  isTreeOf,
  planBetween,
  readTrace,
  treeAfter,
  type TraceCommit,
} from './trace.js';
import { TreeComparison } from './trace-on-disk.js';

const repository = join(import.meta.dirname, '..');
const shared = join(repository, '../shared/data/traces');
const command = join(repository, 'dist/bin/skillmeat.js');
/** Differences of one commit that are printed. */
const printedMax = 10;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dir: { type: 'string' },
    native: { type: 'string', default: 'auto' },
    /** Processes per trace. */
    sample: { type: 'string', default: '40' },
  },
});

interface Replay {
  readonly commits: number;
  /** Commits whose tree git had under the same id. */
  readonly confirmed: number;
  /** Changed paths, directories among them. */
  readonly changes: number;
  readonly milliseconds: readonly number[];
  readonly errors: readonly string[];
}

/** One commit is one `apply`; stops at the first one that goes wrong. */
async function replayByLibrary(trace: readonly TraceCommit[], root: string): Promise<Replay> {
  const native = options.native === 'off' ? 'off' : 'auto';
  await using store = await openStore(root, { create: true, native });
  const comparison = new TreeComparison(root);
  // Awaited here: the store closes when this function returns.
  return await replay(trace, comparison, async (plan) => {
    const receipt = await store.apply(plan);
    return receipt.transaction?.changeCount ?? 0;
  });
}

/** One commit is one process. */
async function replayByCommand(trace: readonly TraceCommit[], root: string): Promise<Replay> {
  const comparison = new TreeComparison(root);
  return replay(trace, comparison, async (plan) => {
    const line = [command, 'txn', 'apply', '-', '-C', root, '--init', '--json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, line, {
      input: JSON.stringify(plan),
      encoding: 'utf8',
      maxBuffer: Number.POSITIVE_INFINITY,
    });
    if (status !== 0) throw new Error(`exit code ${String(status)}: ${stderr}`);
    const { transaction } = JSON.parse(stdout) as { transaction: { changeCount: number } | null };
    return transaction?.changeCount ?? 0;
  });
}

async function replay(
  trace: readonly TraceCommit[],
  comparison: TreeComparison,
  apply: (plan: ReturnType<typeof planBetween>) => Promise<number>,
): Promise<Replay> {
  const times: number[] = [];
  const errors: string[] = [];
  let changes = 0;
  let confirmed = 0;
  let before = emptyTree;
  for (const commit of trace) {
    const after = treeAfter(before, commit);
    if (isTreeOf(commit, after)) confirmed += 1;
    const plan = planBetween(before, after, commit.commit);
    const start = performance.now();
    try {
      const count = await apply(plan);
      times.push(performance.now() - start);
      changes += count;
      if (plan.operations.length > 0 !== count > 0) {
        errors.push(`${commit.commit}: ${String(count)} changes reported`);
      }
    } catch (error) {
      errors.push(`${commit.commit}: ${String(error)}`);
      break;
    }
    const differences = comparison.differences(after);
    errors.push(...differences.map((difference) => `${commit.commit}: ${difference}`));
    if (differences.length > 0) break;
    before = after;
  }
  return { commits: times.length, confirmed, changes, milliseconds: times, errors };
}

/** Merges neighbouring commits, so that `count` of them are left. */
function sampled(trace: readonly TraceCommit[], count: number): readonly TraceCommit[] {
  const step = Math.max(1, Math.ceil(trace.length / count));
  const merged: TraceCommit[] = [];
  for (let start = 0; start < trace.length; start += step) {
    const commits = trace.slice(start, start + step);
    const last = commits.at(-1);
    if (last !== undefined) merged.push({ ...last, ops: commits.flatMap(({ ops }) => ops) });
  }
  return merged;
}

function describe(name: string, replayed: Replay): string[] {
  const { commits, confirmed, changes, milliseconds: times, errors } = replayed;
  const { median, p95 } = spreadOf(times);
  const seconds = times.reduce((sum, time) => sum + time, 0) / 1_000;
  return [
    name,
    String(commits),
    String(confirmed),
    String(changes),
    `${seconds.toFixed(2)} s`,
    milliseconds(median),
    milliseconds(p95),
    String(errors.length),
  ];
}

const given = positionals.length > 0;
const traces = given
  ? positionals
  : existsSync(shared)
    ? readdirSync(shared).map((name) => join(shared, name))
    : [];
if (traces.length === 0) {
  console.log(`not run: there are no traces, ${shared} is missing`);
  process.exit(0);
}
if (!existsSync(command)) throw new Error(`${command} is missing: run npm run build first`);

// The command makes directories by it; the comparison expects 0755.
process.umask(0o022);
const rows = [['trace', 'commits', 'same id', 'changes', 'in apply', 'p50 ms', 'p95 ms', 'errors']];
const errors: string[] = [];
const scratch = makeScratch(options.dir);
for (const path of traces.toSorted()) {
  const name = basename(path, '.jsonl');
  const trace = readTrace(path);
  const byLibrary = await replayByLibrary(trace, join(scratch, `${name}-library`));
  rows.push(describe(name, byLibrary));
  const sample = sampled(trace, Number(options.sample));
  const byCommand = await replayByCommand(sample, join(scratch, `${name}-command`));
  rows.push(describe(`${name}, by the command`, byCommand));
  for (const replayed of [byLibrary, byCommand]) {
    errors.push(...replayed.errors.slice(0, printedMax).map((error) => `${name}: ${error}`));
  }
}
console.log(table(rows));
console.log(
  '\nAfter every commit the whole directory was compared with the tree of the trace: every path,\n' +
    'its kind, all bytes, mode, link target. Same id: commits whose tree has the id that git gave\n' +
    'it (a trace leaves submodules out). The command replays neighbouring commits together.',
);
for (const error of errors) console.error(error);
process.exitCode = errors.length === 0 ? 0 : 1;
