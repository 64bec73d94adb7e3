import { EngineError, isEngineError } from './errors.js';
import { quote } from './path.js';
import { similarName } from './similar-name.js';

/** Where in a plan something stands, as far as it is known. */
export interface Place {
  /** What the user calls the plan: `plan.json`. */
  readonly name: string;
  /** From 1. */
  readonly line?: number;
  /** From 1, in UTF-16 code units. */
  readonly column?: number;
  /** Index of the operation, from 0. */
  readonly operation?: number;
  /** Below the operation, or below the plan: `mode`, `expect["a/b"]`. */
  readonly field?: string;
}

/** Longest piece of the user's text in a message, in UTF-16 code units. */
const shownLengthMax = 60;

/** Returns `place` as a message starts with it: `plan.jsonl, line 4: operations[2].mode`. */
export function describePlace(place: Place): string {
  const { name, line, column, operation, field } = place;
  const spot = [
    name,
    ...(line === undefined ? [] : [`line ${String(line)}`]),
    ...(column === undefined ? [] : [`column ${String(column)}`]),
  ].join(', ');
  const within = [
    ...(operation === undefined ? [] : [`operations[${String(operation)}]`]),
    ...(field === undefined ? [] : [field]),
  ].join('.');
  return within === '' ? spot : `${spot}: ${within}`;
}

/** Returns the error for something in a plan that is not as the format wants it. */
export function planProblem(
  place: Place,
  problem: string,
  hint: string,
  cause?: unknown,
): EngineError {
  return new EngineError('PLAN_INVALID', `${describePlace(place)}: ${problem}`, { hint, cause });
}

/** Returns the error for keys that the format does not know; `known` are those that it does. */
export function unknownKeysProblem(
  place: Place,
  unknown: readonly string[],
  known: readonly string[],
): EngineError {
  const shown = unknown.slice(0, 3).map((key) => {
    const meant = similarName(key, known);
    return `${shorten(key)}${meant === undefined ? '' : ` (did you mean ${quote(meant)}?)`}`;
  });
  const rest =
    unknown.length > shown.length ? ` and ${String(unknown.length - shown.length)} more` : '';
  return planProblem(
    place,
    `unknown ${unknown.length === 1 ? 'key' : 'keys'} ${shown.join(', ')}${rest}`,
    `Allowed here: ${known.join(', ')}.`,
  );
}

/** Returns `error` with its place in front; the code, the path and the hint stay. */
export function atPlace(error: unknown, place: Place): unknown {
  if (!isEngineError(error)) return error;
  const { code, path, hint, message } = error;
  return new EngineError(code, `${describePlace(place)}: ${message}`, { path, hint, cause: error });
}

/** Returns a few words on a value for the end of "expected …, found …". */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'undefined':
      return 'nothing';
    case 'string':
      return shorten(value);
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'function':
    case 'symbol':
      return `a ${typeof value}`;
    case 'object':
      if (value === null) return 'null';
      if (Array.isArray(value)) return `an array of ${String(value.length)}`;
      return value instanceof Date ? 'a date' : 'an object';
  }
}

/** Returns `text` in quotes, cut when it is long. */
export function shorten(text: string): string {
  if (text.length <= shownLengthMax) return quote(text);
  return `${quote(text.slice(0, shownLengthMax))}… (${String(text.length)} characters)`;
}
