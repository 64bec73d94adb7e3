import { defaultHistoryPolicy, type HistoryPolicy, parsePolicy } from './history-policy.js';
import { damaged } from './journal-failure.js';
import { formatMark, type Keeping, type Mark, parseMark } from './keeping.js';
import { parseRetentionPolicy, type RetentionPolicy } from './retention.js';
import type { TableAccess } from './snapshot-table.js';

const prunedKey = 'pruned_through';
const policyKey = 'history_policy';
const snapshotPolicyKey = 'snapshot_policy';
/** Before the number of a transaction. */
const markPrefix = 'kept/';

/** Number of the transaction that a key of `meta` marks; `undefined`: the key is another. */
export function markedBy(key: string): number | undefined {
  return key.startsWith(markPrefix) ? Number(key.slice(markPrefix.length)) : undefined;
}

/** What a journal's table `meta` says of which transactions keep what they displaced. */
export class KeepingTable {
  readonly #access: TableAccess;

  constructor(access: TableAccess) {
    this.#access = access;
  }

  /** @throws {EngineError} `JOURNAL_DAMAGED`. */
  get(): Keeping {
    const { meta, path, reading } = this.#access;
    return reading(() => {
      const marks = new Map<number, Mark>();
      for (const [key, value] of meta.below(markPrefix)) {
        const id = markedBy(key);
        const mark = parseMark(value);
        const isNumbered = id !== undefined && Number.isSafeInteger(id);
        // guard: mark-readable [if false]
        if (mark === undefined || !isNumbered) {
          throw damaged(path, `${key} is no mark`);
        }
        marks.set(id, mark);
      }
      return { prunedThrough: this.prunedThrough(), marks };
    });
  }

  /** Settled transactions up to this number keep what they displaced only when they are marked. */
  prunedThrough(): number {
    return this.#access.reading(() => Number(this.#access.meta.get(prunedKey) ?? 0));
  }

  /** Marks a transaction, synced; one that says nothing is taken off where nothing was pruned yet. */
  mark(id: number, mark: Mark, epoch: number): void {
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: mark-fence
      requireEpoch(epoch);
      const says = mark.isPinned || mark.tags.length > 0;
      if (says || id <= this.prunedThrough()) meta.set(markPrefix + String(id), formatMark(mark));
      else meta.remove(markPrefix + String(id));
    });
  }

  /**
   * Notes that transactions will not keep anything from now on, and that others will, synced: those that
   * are older than one of the former get a mark that says nothing.
   */
  drop(ids: readonly number[], kept: readonly number[]): void {
    const { meta, writing } = this.#access;
    writing(() => {
      const through = Math.max(this.prunedThrough(), ...ids);
      meta.set(prunedKey, through);
      for (const id of ids) meta.remove(markPrefix + String(id));
      for (const id of kept) {
        const key = markPrefix + String(id);
        if (id > through || meta.get(key) !== undefined) continue;
        meta.set(key, formatMark({ isPinned: false, tags: [] }));
      }
    });
  }

  /** The store's own policy; `undefined`: it has none. @throws {EngineError} `JOURNAL_DAMAGED`. */
  ownPolicy(): HistoryPolicy | undefined {
    return this.#read(policyKey, parsePolicy);
  }

  /** What the store keeps to without being asked. */
  policy(): HistoryPolicy {
    return this.ownPolicy() ?? defaultHistoryPolicy;
  }

  /** Sets the store's own policy, or takes it back, synced. */
  setPolicy(policy: HistoryPolicy | undefined, epoch: number): void {
    this.#write(policyKey, policy, epoch);
  }

  /** As {@link ownPolicy}, for snapshots. */
  ownSnapshotPolicy(): RetentionPolicy | undefined {
    return this.#read(snapshotPolicyKey, parseRetentionPolicy);
  }

  /** As {@link setPolicy}, for snapshots. */
  setSnapshotPolicy(policy: RetentionPolicy | undefined, epoch: number): void {
    this.#write(snapshotPolicyKey, policy, epoch);
  }

  #read<T>(key: string, parse: (text: unknown) => T | undefined): T | undefined {
    const { meta, path, reading } = this.#access;
    const text = reading(() => meta.get(key));
    if (text === undefined) return undefined;
    const policy = parse(text);
    // guard: policy-readable
    if (policy === undefined) throw damaged(path, `its ${key} is none that is known`);
    return policy;
  }

  #write(key: string, policy: object | undefined, epoch: number): void {
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: policy-fence
      requireEpoch(epoch);
      if (policy === undefined) meta.remove(key);
      else meta.set(key, JSON.stringify(policy));
    });
  }
}
