// Compiled by tsconfig.test.json, never run: what users of the package may rely on.
import { expectTypeOf } from 'vitest';
import {
  type Capabilities,
  type Annotations,
  type Change,
  type Content,
  type ContentHash,
  EngineError,
  type EngineErrorCode,
  type EngineEvents,
  type Image,
  isEngineError,
  openStore,
  type PathStat,
  type Receipt,
  type Rule,
  type Store,
  type StoreDiagnosis,
  type StoreStatus,
  type Transaction,
  type TransactionState,
} from '../../src/engine/index.js';

/** Everything that a host does, once. */
export async function useEverything(): Promise<void> {
  await using store: Store = await openStore('/root', {
    create: true,
    native: 'off',
    recover: 'never',
    rules: [
      (view, changes) => (changes.length > 0 ? [] : [{ rule: 'x', message: typeof view.read }]),
    ],
  });
  const receipt: Receipt = await store.transact({ message: 'm', dryRun: true }, async (tx) => {
    await tx.write('a', 'text', { mode: 0o600 });
    await tx.write('b', new Uint8Array(1));
    await tx.write('c', process.stdin);
    // @ts-expect-error a number is no content
    await tx.write('d', 5);
    // @ts-expect-error there is no such option
    await tx.remove('a', { recursive: true });
    // @ts-expect-error what is read may be absent
    const bytes: Uint8Array = await tx.read('a');
    return bytes;
  });
  // @ts-expect-error nothing may have changed
  receipt.transaction.id satisfies number | null;
  // @ts-expect-error a receipt is not to be changed
  receipt.transaction = null;
  const undo = await store.undo({ transaction: 1, paths: ['a'], merge: true, force: false });
  undo.paths.every(({ outcome }) => outcome === 'restored') satisfies boolean;
  const rollback = await store.rollback({ to: { transaction: 0 }, keepLocal: true, dryRun: true });
  rollback.conflicts.every(({ why }) => why !== '') satisfies boolean;
  (await store.redo()).transaction?.annotations satisfies Annotations | undefined;
  // @ts-expect-error a moment has a kind
  await store.diff({ from: 1 });
  (await store.diff({ to: { kind: 'now' }, text: true }))[0]?.diff?.text satisfies
    | string
    | undefined;
  (await store.read('a', { kind: 'transaction', id: 0 })).bytes satisfies Uint8Array;
  (await store.drift({ paths: ['a'] })).length satisfies number;
  (await store.adopt({ dryRun: true })) satisfies Receipt;
  // @ts-expect-error a callback is needed
  await store.transact({});
  expectTypeOf<Awaited<ReturnType<Store['status']>>>().toEqualTypeOf<StoreStatus>();
  expectTypeOf<Awaited<ReturnType<Store['diagnose']>>>().toEqualTypeOf<StoreDiagnosis>();
  expectTypeOf<StoreDiagnosis['capabilities']>().toEqualTypeOf<Capabilities>();
  expectTypeOf<NonNullable<Receipt['transaction']>['id']>().toEqualTypeOf<number | null>();
}

/** Codes are a closed union: a table of them must name each. */
export function explain(error: unknown): EngineErrorCode | undefined {
  if (isEngineError(error, 'BLOCKED', 'DAMAGED')) error.code satisfies EngineErrorCode;
  // @ts-expect-error not a code
  isEngineError(error, 'OOPS');
  // @ts-expect-error not a code
  void new EngineError('OOPS', 'message');
  return isEngineError(error) ? error.code : undefined;
}

/** Images are told apart by their kind. */
export function sizeOf(image: Image): number {
  switch (image.kind) {
    case 'absent':
    case 'directory':
    case 'symlink':
      return 0;
    case 'file':
      image.sha256 satisfies ContentHash & string;
      return image.size;
  }
}

// @ts-expect-error a hash is made by the engine, not by a cast-free assignment
export const forged: ContentHash = '0'.repeat(64);

export const everyState: Readonly<Record<TransactionState, true>> = {
  planned: true,
  committed: true,
  settled: true,
  undoing: true,
  'rolled-back': true,
  blocked: true,
  damaged: true,
};

export const rule: Rule = async (view) => {
  const stat: PathStat | undefined = await view.stat('a');
  // @ts-expect-error a rule only reads
  await view.write('a', 'x');
  return stat === undefined ? [{ rule: 'C1', message: 'missing', path: 'a' }] : [];
};

expectTypeOf<Content>().toEqualTypeOf<string | Uint8Array | AsyncIterable<Uint8Array | string>>();
expectTypeOf<Change['before']>().toEqualTypeOf<Image>();
expectTypeOf<keyof EngineEvents & `skillmeat:${string}`>().toEqualTypeOf<keyof EngineEvents>();
expectTypeOf<Parameters<Store['transact']>[1]>().toEqualTypeOf<(tx: Transaction) => unknown>();
