import { isInnerPath } from './path.js';

/** What a transaction says of itself besides its message. Unknown keys are left to newer versions. */
export interface Annotations {
  /** Number of the transaction that this one undoes. */
  readonly undoes?: number;
  /**
   * The only paths that it undoes or rolls back; without them it undoes the whole transaction, or
   * rolls back everything.
   */
  readonly paths?: readonly string[];
  /** The snapshot that it brings back. */
  readonly restores?: string;
  /** What it rolls back to: number of a transaction (0: before the first), or a snapshot. */
  readonly rollsBackTo?: number | string;
  /** Whether it only records what other programs had done. */
  readonly adopts?: true;
  /** Who asked for it, as in `me@desk`. */
  readonly by?: string;
}

/** Returns the text that the journal keeps; the chain hash covers it as it is. */
export function formatAnnotations(annotations: Annotations): string {
  const { undoes, paths, restores, rollsBackTo, adopts, by } = annotations;
  return JSON.stringify({ undoes, paths, restores, rollsBackTo, adopts, by });
}

/** Reads what the journal keeps; what is not as it should be counts as not said. */
export function parseAnnotations(text: string): Annotations {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return {};
  }
  if (typeof value !== 'object' || value === null) return {};
  const given = value as Record<keyof Annotations, unknown>;
  const { undoes, paths, restores, rollsBackTo, adopts, by } = given;
  return {
    ...(isNumberFrom(undoes, 1) && { undoes }),
    ...(isPathList(paths) && { paths }),
    ...(typeof restores === 'string' && { restores }),
    ...((typeof rollsBackTo === 'string' || isNumberFrom(rollsBackTo, 0)) && { rollsBackTo }),
    ...(adopts === true && { adopts }),
    ...(typeof by === 'string' && { by }),
  };
}

function isNumberFrom(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}

function isPathList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.every((path) => typeof path === 'string' && isInnerPath(path))
  );
}
