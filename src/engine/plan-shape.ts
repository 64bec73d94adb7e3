import { type BaseIssue, getDotPath, safeParse } from 'valibot';
import { parsePath, type RelativePath } from './path.js';
import {
  atPlace,
  describeValue,
  type Place,
  planProblem,
  unknownKeysProblem,
} from './plan-problem.js';
import type { Shape } from './plan-schema.js';

/** What to do about a field that is not as its shape wants it. */
const fieldHints: Readonly<Record<string, string>> = {
  mode: 'Write "0644" for a file, "0755" for a program or a directory.',
  content: 'Give bytes that are not text in contentBase64.',
};
const hintDefault = 'docs/plan-format.md describes each field.';

/** Returns `value` when it is an object with keys. */
export function requireObject(value: unknown, place: Place): Record<string, unknown> {
  if (isObject(value)) return value;
  throw planProblem(place, `expected an object, found ${describeValue(value)}`, hintDefault);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Returns `value` as `shape` describes it.
 *
 * @param known the keys to offer when one is unknown, if not just those of `shape`.
 * @throws {EngineError} `PLAN_INVALID`, for the first of: unknown keys, missing keys, wrong values.
 */
export function requireShape<T>(
  shape: Shape<T>,
  value: Record<string, unknown>,
  place: Place,
  known: readonly string[] = Object.keys(shape.entries),
): T {
  const result = safeParse(shape, value);
  if (result.success) return result.output;
  const unknown = unknownKeysOf(value, known);
  if (unknown.length > 0) throw unknownKeysProblem(place, unknown, known);
  const missing = Object.keys(shape.entries).filter(
    (key) => shape.entries[key]?.type !== 'optional' && value[key] === undefined,
  );
  if (missing.length > 0) {
    throw planProblem(
      place,
      `expected ${missing.map((key) => `"${key}"`).join(' and ')}, found nothing under ${missing.length === 1 ? 'that key' : 'those keys'}`,
      hintDefault,
    );
  }
  throw valueProblem(result.issues[0], place);
}

/** Returns the keys of `value` that are not in `known`. */
export function unknownKeysOf(
  value: Record<string, unknown>,
  known: readonly string[],
): readonly string[] {
  return Object.keys(value).filter((key) => !known.includes(key));
}

function valueProblem(issue: BaseIssue<unknown>, place: Place): Error {
  const field = getDotPath(issue) ?? '';
  return planProblem(
    { ...place, field },
    `expected ${issue.message}, found ${describeValue(issue.input)}`,
    fieldHints[field] ?? hintDefault,
  );
}

/** Parses a root-relative path; an error says where in the plan the path stands. */
export function parsePathAt(path: string, place: Place, field?: string): RelativePath {
  try {
    return parsePath(path);
  } catch (error) {
    throw atPlace(error, field === undefined ? place : { ...place, field });
  }
}
