// `npm run bench:history-size [-- TRACE…]`: how much the history of a public repository takes, here and in git.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { openStore, type PlanDocument } from '../src/engine/index.js';
import { table } from './measure.js';
import { makeScratch } from './scratch.js';
import { TextVersions } from './text-versions.js';
import {
  contentOf,
  emptyTree,
  isLink,
  planBetween,
  readTrace,
  targetOf,
  treeAfter,
  type TraceCommit,
  type TraceFile,
  type TraceTree,
} from './trace.js';

/*
 * Ours is what is there after the replay, of which the store packs most by itself; unpacked, what it would
 * be if that were switched off. Sizes are bytes of files, and with what blocks they take. A trace has no contents. Random bytes are
 * the same for all: nothing gets smaller. The text is made up, each version of a file the one before
 * with some of its lines changed, which says more of a packing that looks for differences.
 */

const shared = join(import.meta.dirname, '../../shared/data/traces');
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string' } },
});

type Contents = (path: string, file: TraceFile) => Buffer;

async function measure(
  trace: readonly TraceCommit[],
  contents: Contents,
  at: string,
): Promise<readonly string[]> {
  mkdirSync(at);
  const root = join(at, 'ours');
  const longestMs = await replay(trace, contents, root, 'packing');
  const [all, log] = [
    sizeOf(join(root, '.skillmeat')),
    sizeOf(join(root, '.skillmeat/journal.db')),
  ];
  const packs = readdirSync(join(root, '.skillmeat/objects'), { recursive: true }).length;
  const elsewhere = join(at, 'unpacked');
  const longestUnpackedMs = await replay(trace, contents, elsewhere, 'no packing');
  const unpacked = sizeOf(join(elsewhere, '.skillmeat'));
  const startedAt = performance.now();
  await pack(root);
  const seconds = (performance.now() - startedAt) / 1_000;
  const packed = sizeOf(join(root, '.skillmeat'));
  const stream: Buffer[] = trace.flatMap((commit) => [...toFastImport(commit, contents)]);
  const repository = join(at, 'git');
  git(at, ['init', '-q', repository]);
  const loose = ['-c', 'fastimport.unpackLimit=100000000'];
  git(repository, [...loose, 'fast-import', '--quiet'], Buffer.concat(stream));
  const beforeGc = sizeOf(join(repository, '.git/objects'));
  git(repository, ['gc', '-q', '--prune=now']);
  const afterGc = sizeOf(join(repository, '.git/objects'));
  rmSync(at, { recursive: true });
  const times = (part: Size, whole: Size): string => (part.bytes / whole.bytes).toFixed(2);
  return [
    ...[unpacked, log, all, packed, beforeGc, afterGc].map(
      ({ bytes, blocks }) => `${mib(bytes)} (${mib(blocks)})`,
    ),
    times(unpacked, beforeGc),
    times(all, beforeGc),
    times(all, afterGc),
    times(packed, beforeGc),
    times(packed, afterGc),
    seconds.toFixed(1),
    String(packs),
    longestMs.toFixed(0),
    longestUnpackedMs.toFixed(0),
  ];
}

const dayMs = 86_400_000;

/** @returns the longest that a commit took, in milliseconds. */
async function replay(
  trace: readonly TraceCommit[],
  contents: Contents,
  root: string,
  how: 'packing' | 'no packing',
): Promise<number> {
  // A day lies between two of its commits: a displaced directory is not packed before.
  let days = 0;
  await using store = await openStore(root, {
    create: true,
    now: () => Date.now() + days * dayMs,
  });
  await store.setHistoryPolicy(how === 'packing' ? {} : { packFromBytes: 0 });
  let before: TraceTree = emptyTree;
  let longestMs = 0;
  for (const commit of trace) {
    const after = treeAfter(before, commit);
    const plan = withContents(planBetween(before, after, commit.commit), after, contents);
    const startedAt = performance.now();
    await store.apply(plan);
    longestMs = Math.max(longestMs, performance.now() - startedAt);
    before = after;
    days += 1;
  }
  return longestMs;
}

/** As long after: what is younger than a day is not packed. */
async function pack(root: string): Promise<void> {
  await using store = await openStore(root, { now: () => Date.now() + 10_000 * dayMs });
  await store.prune({}, { pack: true });
}

function withContents(plan: PlanDocument, after: TraceTree, contents: Contents): PlanDocument {
  const operations = plan.operations.map((operation) => {
    const file = 'path' in operation ? after.get(operation.path) : undefined;
    if (operation.op !== 'write' || file === undefined) return operation;
    const { op, path, mode } = operation;
    return { op, path, mode, contentBase64: contents(path, file).toString('base64') };
  });
  return { ...plan, operations };
}

function* toFastImport({ commit, ops }: TraceCommit, contents: Contents): Generator<Buffer> {
  yield Buffer.from(
    `commit refs/heads/main\ncommitter b <b@b> 0 +0000\ndata ${String(commit.length)}\n${commit}\n`,
  );
  for (const operation of ops) {
    if (operation.op === 'del') {
      yield Buffer.from(`D ${operation.path}\n`);
      continue;
    }
    const bytes = isLink(operation)
      ? Buffer.from(targetOf(operation))
      : contents(operation.path, operation);
    yield Buffer.from(
      `M ${operation.mode} inline ${operation.path}\ndata ${String(bytes.length)}\n`,
    );
    yield bytes;
    yield Buffer.from('\n');
  }
}

interface Size {
  readonly bytes: number;
  readonly blocks: number;
}

function sizeOf(at: string): Size {
  const stat = lstatSync(at);
  if (!stat.isDirectory()) return { bytes: stat.size, blocks: stat.blocks * 512 };
  return readdirSync(at)
    .map((name) => sizeOf(join(at, name)))
    .reduce((a, b) => ({ bytes: a.bytes + b.bytes, blocks: a.blocks + b.blocks }), {
      bytes: 0,
      blocks: 0,
    });
}

function mib(bytes: number): string {
  return (bytes / 1_048_576).toFixed(2);
}

function git(cwd: string, args: readonly string[], input?: Buffer): void {
  const { status, stderr } = spawnSync('git', args, {
    cwd,
    input,
    maxBuffer: Number.POSITIVE_INFINITY,
  });
  if (status !== 0) throw new Error(`git ${args.join(' ')} failed: ${stderr.toString()}`);
}

const found = existsSync(shared) ? readdirSync(shared).map((name) => join(shared, name)) : [];
const traces = positionals.length > 0 ? positionals : found;
if (traces.length === 0) console.log(`not run: there are no traces, ${shared} is missing`);
const scratch = makeScratch(options.dir);
const rows = [
  [
    'MiB (in blocks)',
    'ours, unpacked',
    'journal.db',
    'ours',
    'ours, prune --pack',
    'git',
    'git after gc',
    'unpacked ÷ git',
    '÷ git',
    '÷ git after gc',
    'packed ÷ git',
    'packed ÷ git after gc',
    'prune --pack, s',
    'packs',
    'longest commit, ms',
    'the same unpacked',
  ],
];
for (const path of traces.toSorted()) {
  const name = basename(path, '.jsonl');
  const trace = readTrace(path);
  const text = new TextVersions();
  const kinds: readonly (readonly [string, Contents])[] = [
    ['random', (_path, file) => contentOf(file)],
    ['text', (at, file) => text.contentOf(at, file)],
  ];
  for (const [kind, contents] of kinds) {
    rows.push([
      `${name}, ${kind}`,
      ...(await measure(trace, contents, join(scratch, `${name}-${kind}`))),
    ]);
  }
}
console.log(table(rows));
