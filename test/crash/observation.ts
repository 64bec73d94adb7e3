import fs from 'node:fs';
import path from 'node:path';
import {
  type EngineErrorCode,
  isEngineError,
  openStore,
  type Store,
} from '../../src/engine/index.js';
import { describeTree, makeDirectory, removeDirectory, sha256 } from '../support/processes.js';
import { namesBelow } from './saved-store.js';

/*
 * Opens a store, reads everything that it tells, and writes with it, step by step. A step ends with
 * what was told or with the code of an error; and with the tree, if it may change it.
 */

/** What one step came to. */
export interface Step {
  readonly name: string;
  /** As JSON; `undefined` when it failed. */
  readonly told: string | undefined;
  readonly error: EngineErrorCode | undefined;
  readonly message: string;
  /** Whether it named paths, contents or transactions that are not as they should be. */
  readonly hasFindings: boolean;
  /** After a step that writes. */
  readonly tree: readonly string[] | undefined;
}

/** The steps that write, which a store may be asked to do in different order. */
export const writings = ['undo', 'restore', 'write', 'elsewhere'] as const;
export type Writing = (typeof writings)[number];

interface Told {
  readonly value: unknown;
  readonly findings?: readonly unknown[];
}

/** Runs all steps, the writing ones in this order, until one that writes fails. */
export async function observe(root: string, order: readonly Writing[]): Promise<readonly Step[]> {
  const steps: Step[] = [];
  const run = async (name: string, step: () => Promise<Told>, writes = false): Promise<boolean> => {
    let told: Told | undefined;
    let error: EngineErrorCode | undefined;
    let message = '';
    try {
      told = await step();
    } catch (failure) {
      if (!isEngineError(failure)) throw new Error(`at ${name}`, { cause: failure });
      error = failure.code;
      message = failure.message;
    }
    steps.push({
      name,
      told: told === undefined ? undefined : JSON.stringify(told.value),
      error,
      message,
      hasFindings: (told?.findings?.length ?? 0) > 0,
      tree: writes ? describeTree(root) : undefined,
    });
    return error === undefined;
  };
  let store: Store | undefined;
  const open = async (): Promise<Told> => {
    store = await openStore(root);
    const { superseded = [], unresolved = [] } = store.recoveryOnOpen ?? {};
    return { value: { superseded, unresolved }, findings: [...superseded, ...unresolved] };
  };
  try {
    if (!(await run('open', open, true)) || store === undefined) return steps;
    await readAll(store, run);
    for (const writing of order) {
      const opened: Store = store;
      if (!(await run(writing, () => write(opened, writing), true))) return steps;
      if (steps.at(-1)?.hasFindings === true) return steps;
    }
    await store.close();
    if (!(await run('open again', open, true))) return steps;
    await run('log again', () => readLog(store as Store));
    return steps;
  } finally {
    await store?.close();
  }
}

type Run = (name: string, step: () => Promise<Told>) => Promise<boolean>;

async function readAll(store: Store, run: Run): Promise<void> {
  await run('status', async () => {
    const { head, troubled, quarantined } = await store.status();
    const findings = [...troubled, ...Array.from({ length: quarantined }, () => 'quarantined')];
    return { value: { head, troubled, quarantined }, findings };
  });
  await run('log', () => readLog(store));
  for (let id = 1; id <= 4; id += 1) {
    await run(`show ${String(id)}`, async () => ({ value: withoutSettling(await store.show(id)) }));
  }
  for (const [file, moments] of Object.entries(readPaths)) {
    for (const id of moments) {
      await run(`read ${file} after ${String(id)}`, async () => {
        const { image, bytes } = await store.read(file, { kind: 'transaction', id });
        return { value: [image, sha256(bytes)] };
      });
    }
  }
  await run('log of a path', async () => {
    const log = await store.log({ path: 'a.txt' });
    return { value: log.map(withoutSettling) };
  });
  await run('last changes', async () => {
    const changes = await store.lastChanges();
    const value = changes.map(({ transaction, ...rest }) => [
      rest,
      transaction && withoutSettling(transaction),
    ]);
    return { value };
  });
  await run('drift', async () => {
    const drift = await store.drift();
    return { value: drift, findings: drift };
  });
  await run('snapshots', async () => ({ value: await store.snapshots.list() }));
  for (const name of ['early', 'late']) {
    await run(`snapshot ${name}`, async () => {
      const paths = [];
      for await (const entry of store.snapshots.paths(name)) paths.push(entry);
      return { value: paths };
    });
  }
}

/** Files that existed, and after which transactions. */
const readPaths: Readonly<Record<string, readonly number[]>> = {
  'a.txt': [0, 1, 2],
  'b.txt': [0, 1, 2, 3],
  'c.txt': [1, 2],
  'docs/guide.md': [1, 2],
};

async function readLog(store: Store): Promise<Told> {
  const log = await store.log();
  // Those that are made here get other numbers and times each time.
  const value = log.map(withoutSettling).map(({ id, state, message, reason, annotations }) => {
    return [id, state, message, reason, annotations];
  });
  return { value };
}

/** Whether a transaction is known to be on disk yet is nothing that damage may not change. */
function withoutSettling<T extends { readonly state: string }>(record: T): T {
  return record.state === 'settled' ? { ...record, state: 'committed' } : record;
}

async function write(store: Store, writing: Writing): Promise<Told> {
  switch (writing) {
    case 'undo': {
      const { undone, paths } = await store.undo({ transaction: 3 });
      return { value: { undone, paths } };
    }
    case 'restore': {
      const { notRestored } = await store.snapshots.restore('early');
      return { value: notRestored, findings: notRestored };
    }
    case 'write': {
      const { transaction } = await store.transact({}, (tx) => tx.write('later.txt', 'later'));
      return { value: transaction?.changes };
    }
    case 'elsewhere': {
      const directory = makeDirectory({ inMemory: true });
      try {
        const to = path.join(directory, 'to');
        const { notRestored } = await store.snapshots.restore('early', { to });
        const written = fs.existsSync(to) ? describeTree(to) : [];
        return { value: { notRestored, written }, findings: notRestored };
      } finally {
        removeDirectory(directory);
      }
    }
  }
}

/** What must not change when a store refuses to open: everything but SQLite's files and `owner`. */
export function untouchedBytes(root: string): readonly string[] {
  return namesBelow(root)
    .filter((name) => !/^\.skillmeat\/(?:journal\.db.*|owner|lock)$/.test(name))
    .map((name) => {
      const at = path.join(root, name);
      const stat = fs.lstatSync(at);
      const content = stat.isFile() ? sha256(fs.readFileSync(at)) : '';
      return `${name} ${String(stat.mode)} ${content}`;
    });
}
