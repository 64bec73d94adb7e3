import { parseObject } from './json-value.js';
import type { TransactionRow } from './transaction-row.js';

/** What somebody said of a transaction or a snapshot. Either of it keeps it, or what it displaced. */
export interface Mark {
  readonly isPinned: boolean;
  readonly tags: readonly string[];
}

/** What to say of a transaction or a snapshot; what is not named stays as it is. */
export interface Marking {
  /** Whether it is pinned from now on. */
  readonly pin?: boolean;
  readonly addTags?: readonly string[];
  /** Those that it does not have are none of its tags afterwards either. */
  readonly removeTags?: readonly string[];
}

/** Which transactions keep what they displaced: the newer ones, and those that are marked. */
export interface Keeping {
  /** Settled transactions up to this number keep nothing by their age alone. */
  readonly prunedThrough: number;
  /**
   * By number. A mark that says nothing any more is there as long as its transaction was not pruned:
   * what it displaced goes with the next pruning, not unseen.
   */
  readonly marks: ReadonlyMap<number, Mark>;
}

/** Tells whether what lies in `stage/` for a transaction is needed. */
export function keepsDisplaced(
  { id, state }: Pick<TransactionRow, 'id' | 'state'>,
  { prunedThrough, marks }: Keeping,
): boolean {
  switch (state) {
    case 'committed':
    case 'undoing':
      return true;
    case 'settled':
    // What was in place for an instant may still be open in a program that writes to it.
    case 'rolled-back':
      return id > prunedThrough || marks.has(id);
  }
}

/** Returns a mark as it is to be; its new tags are still to be checked. */
export function markedAs(
  known: Mark,
  { pin = known.isPinned, addTags = [], removeTags = [] }: Marking,
): Mark {
  const removed = new Set(removeTags);
  const left = known.tags.filter((tag) => !removed.has(tag));
  return { isPinned: pin, tags: [...new Set([...left, ...addTags])] };
}

export function isSameMark(one: Mark, other: Mark): boolean {
  return one.isPinned === other.isPinned && one.tags.join('\n') === other.tags.join('\n');
}

/** Returns why no policy drops what a transaction displaced; `undefined`: nobody asked for that. */
export function reasonOfMark(mark: Mark | undefined): string | undefined {
  if (mark?.isPinned === true) return 'pinned';
  if (mark === undefined || mark.tags.length === 0) return undefined;
  return `tagged ${mark.tags.join(', ')}`;
}

/** Returns the text that the journal keeps. */
export function formatMark({ isPinned, tags }: Mark): string {
  return JSON.stringify({ isPinned, tags });
}

/** Reads what the journal keeps; `undefined`: this program cannot have written it. */
export function parseMark(text: unknown): Mark | undefined {
  const { isPinned, tags } = parseObject(text) ?? {};
  if (typeof isPinned !== 'boolean' || !Array.isArray(tags)) return undefined;
  const isText = (tag: unknown): tag is string => typeof tag === 'string';
  return tags.every(isText) ? { isPinned, tags } : undefined;
}
