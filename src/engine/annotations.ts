import { isInnerPath } from './path.js';

/** What a transaction says of itself besides its message. Unknown keys are left to newer versions. */
export interface Annotations {
  /** Number of the transaction that this one undoes. */
  readonly undoes?: number;
  /** The only paths that it undoes; without them it undoes the whole transaction. */
  readonly paths?: readonly string[];
  /** The snapshot that it brings back. */
  readonly restores?: string;
  /** Whether it only records what other programs had done. */
  readonly adopts?: true;
  /** Who asked for it, as in `me@desk`. */
  readonly by?: string;
}

/** Returns the text that the journal keeps; the chain hash covers it as it is. */
export function formatAnnotations(annotations: Annotations): string {
  const { undoes, paths, restores, adopts, by } = annotations;
  return JSON.stringify({ undoes, paths, restores, adopts, by });
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
  const { undoes, paths, restores, adopts, by } = value as Record<keyof Annotations, unknown>;
  return {
    ...(typeof undoes === 'number' && Number.isSafeInteger(undoes) && undoes > 0 && { undoes }),
    ...(isPathList(paths) && { paths }),
    ...(typeof restores === 'string' && { restores }),
    ...(adopts === true && { adopts }),
    ...(typeof by === 'string' && { by }),
  };
}

function isPathList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.every((path) => typeof path === 'string' && isInnerPath(path))
  );
}
