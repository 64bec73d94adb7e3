import { isNumberFrom, parseObject } from './json-value.js';
import { isInnerPath } from './path.js';

/** Subjects that a label names; the others are counted. */
const subjectsMax = 100;

/** What the host calls a transaction, and the things of its own that it was about. For the log. */
export interface Label {
  /** One word, as in `update`. */
  readonly verb: string;
  /** The journal keeps the first 100. */
  readonly subjects: readonly LabelSubject[];
  /** How many subjects there were besides those. */
  readonly more?: number;
}

/** One of the things that a transaction was about. */
export interface LabelSubject {
  /** What the host calls it, as in `skill/canvas`. */
  readonly name: string;
  /** What it was called before. */
  readonly was?: string;
  /** Its version before; absent when it was not there, or has none. */
  readonly from?: string;
  /** Its version afterwards; absent when it is not there any more, or has none. */
  readonly to?: string;
}

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
  /** What the host calls it. */
  readonly label?: Label;
}

/** Returns the text that the journal keeps; the chain hash covers it as it is. */
export function formatAnnotations(annotations: Annotations): string {
  const { undoes, paths, restores, rollsBackTo, adopts, by, label } = annotations;
  return JSON.stringify({ undoes, paths, restores, rollsBackTo, adopts, by, label });
}

/** Reads what the journal keeps; what is not as it should be counts as not said. */
export function parseAnnotations(text: string): Annotations {
  const {
    undoes,
    paths,
    restores,
    rollsBackTo,
    adopts,
    by,
    label: given,
  } = parseObject(text) ?? {};
  const label = toLabel(given);
  return {
    ...(isNumberFrom(undoes, 1) && { undoes }),
    ...(isPathList(paths) && { paths }),
    ...(typeof restores === 'string' && { restores }),
    ...((typeof rollsBackTo === 'string' || isNumberFrom(rollsBackTo, 0)) && { rollsBackTo }),
    ...(adopts === true && { adopts }),
    ...(typeof by === 'string' && { by }),
    ...(label !== undefined && { label }),
  };
}

function isPathList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.every((path) => typeof path === 'string' && isInnerPath(path))
  );
}

/** Returns a label as the journal keeps it: with so many subjects and no others, and nothing else in it. */
export function boundedLabel({ verb, subjects, more = 0 }: Label): Label {
  const left = more + Math.max(0, subjects.length - subjectsMax);
  return {
    verb,
    subjects: subjects.slice(0, subjectsMax).map(({ name, was, from, to }) => ({
      name,
      ...(was !== undefined && { was }),
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
    })),
    ...(left > 0 && { more: left }),
  };
}

function toLabel(value: unknown): Label | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { verb, subjects, more } = value as Record<keyof Label, unknown>;
  const isRight =
    typeof verb === 'string' &&
    Array.isArray(subjects) &&
    subjects.every(isSubject) &&
    (more === undefined || isNumberFrom(more, 1));
  return isRight
    ? boundedLabel({ verb, subjects, ...(more !== undefined && { more }) })
    : undefined;
}

function isSubject(value: unknown): value is LabelSubject {
  if (typeof value !== 'object' || value === null) return false;
  const { name, was, from, to } = value as Record<keyof LabelSubject, unknown>;
  return typeof name === 'string' && [was, from, to].every(isTextOrNothing);
}

function isTextOrNothing(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
