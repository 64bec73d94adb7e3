import * as fc from 'fast-check';
import { isEngineError, type Transaction } from '../../src/engine/index.js';

/*
 * What happens to a root: transactions over two directories with two files each, and what other
 * programs do meanwhile.
 */

export type Operation =
  | { readonly op: 'write'; readonly path: string; readonly text: string }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'swap'; readonly one: string; readonly other: string }
  | { readonly op: 'chain'; readonly path: string; readonly next: string; readonly last: string }
  | { readonly op: 'change case'; readonly path: string }
  | { readonly op: 'file to directory'; readonly path: string; readonly text: string }
  | { readonly op: 'directory to file'; readonly path: string; readonly text: string }
  | { readonly op: 'replace tree'; readonly path: string; readonly text: string }
  | { readonly op: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly op: 'symlink'; readonly path: string; readonly target: string };

/** What another program does, after so many steps of what the engine does at the time. */
export interface ForeignEdit {
  readonly how: 'in place' | 'by rename' | 'delete' | 'through an old descriptor';
  readonly path: string;
  readonly afterSteps: number;
}

export interface Transact {
  readonly do: 'transact';
  readonly operations: readonly Operation[];
  readonly edits: readonly ForeignEdit[];
  /** Which change of names in the root fails, counted from 1, so that the engine undoes; 0 for none. */
  readonly failingSwitch: number;
  /** Before which sync the disk fails to write what that is to cover, counted from 1; 0 for none. */
  readonly failingSync: number;
  /** A file that another program holds open meanwhile. */
  readonly held: string | undefined;
}

/** Transactions that are begun at once, and so share a flush where that is possible. */
export interface Together extends Omit<Transact, 'do' | 'operations'> {
  readonly do: 'together';
  readonly transactions: readonly (readonly Operation[])[];
}

export type Action =
  | Transact
  | Together
  | {
      /** Of whatever is next, by force; with nothing to undo it is refused. */
      readonly do: 'undo' | 'redo';
      readonly edits: readonly ForeignEdit[];
    }
  | { readonly do: 'edit'; readonly edit: ForeignEdit }
  | { readonly do: 'reopen' }
  | { readonly do: 'recover' };

export interface Workload {
  readonly actions: readonly Action[];
  /** For what is sampled at random. */
  readonly seed: number;
}

const untroubled = { edits: [], failingSwitch: 0, failingSync: 0, held: undefined } as const;

/** One transaction, that nothing happens to but what is `given`. */
export function transaction(
  operations: readonly Operation[],
  given: Partial<Transact> = {},
): Transact {
  return { do: 'transact', operations, ...untroubled, ...given };
}

/** As {@link transaction}, for several that are begun at once. */
export function together(
  transactions: readonly (readonly Operation[])[],
  given: Partial<Together> = {},
): Together {
  return { do: 'together', transactions, ...untroubled, ...given };
}

export function write(path: string, text: string): Operation {
  return { op: 'write', path, text };
}

/** What {@link transaction} and {@link together} are given for one edit. */
export function editing(
  how: ForeignEdit['how'],
  path: string,
  afterSteps: number,
): Pick<Transact, 'edits'> {
  return { edits: [{ how, path, afterSteps }] };
}

const directories = ['d', 'e'] as const;
const files = ['d/a', 'd/b', 'e/a', 'e/b'] as const;

/** Does what the operation says; what the engine refuses is left out. */
export async function run(tx: Transaction, operation: Operation): Promise<void> {
  try {
    await attempt(tx, operation);
  } catch (error) {
    if (!isEngineError(error)) throw error;
  }
}

async function attempt(tx: Transaction, operation: Operation): Promise<void> {
  switch (operation.op) {
    case 'write':
      return tx.write(operation.path, operation.text);
    case 'remove':
      return tx.remove(operation.path);
    case 'rename':
      return tx.rename(operation.from, operation.to, { replace: true });
    case 'swap':
      await tx.rename(operation.one, 'aside');
      await tx.rename(operation.other, operation.one, { replace: true });
      return tx.rename('aside', operation.other);
    case 'chain':
      await tx.rename(operation.next, operation.last, { replace: true });
      return tx.rename(operation.path, operation.next);
    case 'change case':
      return tx.rename(
        operation.path,
        operation.path.replace(/[^/]+$/, (name) => name.toUpperCase()),
      );
    case 'file to directory':
      await tx.remove(operation.path);
      return tx.write(`${operation.path}/a`, operation.text);
    case 'directory to file':
      await tx.remove(operation.path);
      return tx.write(operation.path, operation.text);
    case 'replace tree':
      await tx.remove(operation.path);
      await tx.write(`${operation.path}/a`, operation.text);
      return tx.write(`${operation.path}/new`, 'new');
    case 'chmod':
      return tx.chmod(operation.path, operation.mode);
    case 'symlink':
      await tx.remove(operation.path, { ifPresent: true });
      return tx.symlink(operation.path, operation.target);
  }
}

// --- random workloads ----------------------------------------------------------------------------

const file = fc.constantFrom(...files);
const anyPath = fc.constantFrom(...files, ...directories);
const text = fc.constantFrom('one', 'two', 'three', 'four');

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('write' as const), path: file, text }),
  },
  fc.record({ op: fc.constant('remove' as const), path: anyPath }),
  fc.record({ op: fc.constant('rename' as const), from: anyPath, to: anyPath }),
  fc.record({ op: fc.constant('swap' as const), one: file, other: file }),
  fc.record({ op: fc.constant('chain' as const), path: file, next: file, last: file }),
  fc.record({ op: fc.constant('change case' as const), path: anyPath }),
  fc.record({ op: fc.constant('file to directory' as const), path: file, text }),
  fc.record({
    op: fc.constant('directory to file' as const),
    path: fc.constantFrom(...directories),
    text,
  }),
  fc.record({
    op: fc.constant('replace tree' as const),
    path: fc.constantFrom(...directories),
    text,
  }),
  fc.record({
    op: fc.constant('chmod' as const),
    path: anyPath,
    mode: fc.constantFrom(0o700, 0o755),
  }),
  fc.record({ op: fc.constant('symlink' as const), path: file, target: file }),
);

const edit: fc.Arbitrary<ForeignEdit> = fc.record({
  how: fc.constantFrom('in place', 'by rename', 'delete', 'through an old descriptor'),
  path: file,
  afterSteps: fc.integer({ min: 0, max: 24 }),
});

const edits = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(edit, { minLength: 1, maxLength: 2 }) },
);

const trouble = {
  edits,
  failingSwitch: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 5 }) },
  ),
  failingSync: fc.oneof(
    { weight: 7, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 6 }) },
  ),
  held: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: file }),
};

const transact = fc.record({
  do: fc.constant('transact' as const),
  operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
  ...trouble,
});

const anyTogether = fc.record({
  do: fc.constant('together' as const),
  transactions: fc.array(fc.array(operation, { minLength: 1, maxLength: 2 }), {
    minLength: 2,
    maxLength: 4,
  }),
  ...trouble,
});

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 7, arbitrary: transact },
  { weight: 4, arbitrary: anyTogether },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('undo' as const, 'redo' as const), edits }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), edit }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'recover' as const }) },
);

export const workload: fc.Arbitrary<Workload> = fc.record({
  actions: fc.array(action, { minLength: 1, maxLength: 4 }),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
});

// --- small scope ---------------------------------------------------------------------------------

/**
 * Every operation over the two directories and their files, each kind with each path. `e/b` is not
 * there at first: it is created; so is a file in a directory of its own.
 */
export const everyOperation: readonly Operation[] = [
  { op: 'write', path: 'e/new/a', text: 'created' },
  ...files.flatMap((path): Operation[] => [
    { op: 'write', path, text: 'written' },
    { op: 'symlink', path, target: 'd/a' },
    { op: 'file to directory', path, text: 'below' },
  ]),
  ...directories.flatMap((path): Operation[] => [
    { op: 'directory to file', path, text: 'instead' },
    { op: 'replace tree', path, text: 'replaced' },
  ]),
  ...[...files, ...directories].flatMap((path): Operation[] => [
    { op: 'remove', path },
    { op: 'change case', path },
    { op: 'chmod', path, mode: 0o700 },
  ]),
  ...pairs([...files, ...directories]).map(([from, to]): Operation => ({ op: 'rename', from, to })),
  ...pairs(files)
    .filter(([one, other]) => one < other)
    .map(([one, other]): Operation => ({ op: 'swap', one, other })),
  { op: 'chain', path: 'd/a', next: 'd/b', last: 'e/b' },
  { op: 'chain', path: 'd/a', next: 'e/a', last: 'd/b' },
];

function pairs(paths: readonly string[]): readonly (readonly [string, string])[] {
  return paths.flatMap((one) =>
    paths.filter((other) => other !== one).map((other) => [one, other] as const),
  );
}
