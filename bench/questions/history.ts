import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { hashContent } from '../../src/engine/hash.js';
import { openStore, type Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import type { RelativePath } from '../../src/engine/path.js';
import { type Head, noHead, stagePrefix } from '../../src/engine/transaction-row.js';
import { atMost, type Findings, growthOf, type Question, type Run } from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { type Side, takeTurns } from '../turns.js';

const sizes = [10, 1_000, 100_000];
const quickSizes = [10, 1_000, 10_000];
const rowsPerTransaction = 3;

export const history: Question = {
  name: 'history',
  question: 'Do opening, committing, log -n 20 and status stay as fast when there is much history?',
  peers: 'the same with little history',
  unequal: `the history is written into the journal at once, ${String(rowsPerTransaction)} changes a transaction, settled, what they displaced pruned, as after a long life`,
  xLabel: 'transactions in the journal',
  unit: 'ms',
  run,
};

async function run({ place, isQuick }: Run): Promise<Findings> {
  const stores: Store[] = [];
  try {
    const sides: Side[] = [];
    for (const size of isQuick ? quickSizes : sizes) {
      const root = join(place.directory, String(size));
      await (await openStore(root, { create: true })).close();
      plantHistory(root, size);
      // The first opening looks for what a dead writer may have left.
      const store = await openStore(root);
      await store.transact({}, (tx) => tx.write('a', 'first'));
      stores.push(store);
      sides.push(...sidesOf(root, size, store));
    }
    const flush = fileSystemSync(place.directory);
    const points = await takeTurns(sides, { rounds: isQuick ? 10 : 40, warmUpRounds: 3, flush });
    const ratios = [...new Set(points.map(({ series }) => series))].flatMap((series) =>
      growthOf(points, series, atMost(1.3)),
    );
    return { points, ratios, notes: [] };
  } finally {
    for (const store of stores) await store.close();
  }
}

function sidesOf(root: string, x: number, store: Store): readonly Side[] {
  const side = (series: string, act: (round: number) => unknown): Side => ({
    series,
    x,
    prepare: (round) => () => act(round),
  });
  return [
    side('open and close', async () => {
      await (await openStore(root)).close();
    }),
    side('commit', (round) => store.transact({}, (tx) => tx.write('a', `round ${String(round)}`))),
    side('log -n 20', () => store.log({ limit: 20 })),
    side('status', () => store.status()),
  ];
}

/** Transactions as they are when all of it is long over. */
function plantHistory(root: string, size: number): void {
  using journal = Journal.open(join(root, '.skillmeat/journal.db'));
  let head: Head = noHead;
  for (let id = 1; id <= size; id += 1) {
    const uuid = randomUUID();
    const transaction = {
      uuid,
      stage: stagePrefix(id, uuid),
      message: `change ${String(id)}`,
      committedAt: Date.now(),
      bootId: 'planted',
      changeCount: rowsPerTransaction,
      displacedBytes: 300,
      flush: 'with',
      annotations: '{}',
      state: 'settled',
    } as const;
    const rows = Array.from({ length: rowsPerTransaction }, (_, sequence) => ({
      sequence,
      unit: sequence,
      act: 'replace' as const,
      slot: String(sequence + 1),
      path: `skills/${String(id % 500)}/${String(sequence)}.md` as RelativePath,
      before: imageOf(id - 1),
      after: imageOf(id),
      superseded: undefined,
    }));
    head = journal.commit(transaction, rows, { epoch: journal.epoch(), head });
  }
  journal.setMeta({ pruned_through: size, settled_through: size });
  journal.truncateLog({ waits: true });
}

function imageOf(version: number): {
  kind: 'file';
  sha256: ReturnType<typeof hashContent>;
  size: number;
  mode: number;
} {
  return {
    kind: 'file',
    sha256: hashContent(Buffer.from(String(version))),
    size: 100,
    mode: 0o644,
  };
}
