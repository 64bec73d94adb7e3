import { type ContentHash, parseContentHash } from './hash.js';
import { findJsonProblem } from './json-syntax.js';
import { Pace } from './pace.js';
import { quote, type RelativePath } from './path.js';
import { parseOperation, type PlanOperation } from './plan-operation.js';
import { describeValue, type Place, planProblem, shorten } from './plan-problem.js';
import { headerShape, type PlanDocument, type PlanHeader } from './plan-schema.js';
import { parsePathAt, requireObject, requireShape } from './plan-shape.js';
import {
  PlanBytes,
  type PlanFormat,
  type PlanLine,
  readDocument,
  readLines,
} from './plan-stream.js';

export type { PlanOperation } from './plan-operation.js';
export type { PlanDocument, PlanOperationDocument } from './plan-schema.js';
export type { PlanFormat } from './plan-stream.js';

/** What a plan wants to find at a path before anything changes. */
export type Expectation =
  | { readonly kind: 'absent' }
  | { readonly kind: 'directory' }
  | { readonly kind: 'file'; readonly sha256: ContentHash }
  | { readonly kind: 'symlink'; readonly target: string };

/** A plan whose header has been checked. */
export interface OpenPlan {
  /** '' when the plan has none. */
  readonly message: string;
  readonly expectations: ReadonlyMap<RelativePath, Expectation>;
  /**
   * Can be iterated once. Operations in JSON Lines are read and checked on the way, so iterating
   * may throw; whoever does not want them calls `return` on the iterator, which lets the source go.
   */
  readonly operations: AsyncIterable<PlanOperation>;
}

/** A plan as an object, or the pieces of a file that holds one. */
export type PlanSource = PlanDocument | AsyncIterable<Uint8Array | string>;

export interface OpenPlanOptions {
  /** The format of a file; without it, the file's beginning tells. */
  readonly format?: PlanFormat | undefined;
  /** What messages call the plan: `plan.json`. */
  readonly name?: string | undefined;
}

/**
 * Opens a plan in format version 1: checks all of it, but of JSON Lines the header only.
 *
 * @throws {EngineError} `PLAN_INVALID`, `LIMIT_EXCEEDED` and the codes of `parsePath`, with the
 * place in the message.
 */
export async function openPlan(
  source: PlanSource,
  options: OpenPlanOptions = {},
): Promise<OpenPlan> {
  const name = options.name ?? 'the plan';
  if (!isStream(source)) return openDocument(source, name);
  const bytes = new PlanBytes(source, name);
  try {
    const format = options.format ?? (await bytes.detectFormat());
    switch (format) {
      case 'json':
        return await openDocument(parseJson(await readDocument(bytes, name), { name }), name);
      case 'toml':
        return await openDocument(await parseToml(await readDocument(bytes, name), name), name);
      case 'jsonl':
        return await openLines(bytes, name);
    }
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

function isStream(source: PlanSource): source is AsyncIterable<Uint8Array | string> {
  return typeof source === 'object' && source !== null && Symbol.asyncIterator in source;
}

async function openDocument(document: unknown, name: string): Promise<OpenPlan> {
  const { operations, ...header } = requireObject(document, { name });
  const opened = parseHeader(header, { name }, ['operations']);
  if (!Array.isArray(operations)) {
    throw planProblem(
      { name, field: 'operations' },
      `expected an array, found ${describeValue(operations)}`,
      'List the operations under "operations".',
    );
  }
  const parsed: PlanOperation[] = [];
  const pace = new Pace();
  for (const [operation, value] of operations.entries()) {
    parsed.push(parseOperation(value, { name, operation }));
    if (pace.isDue()) await pace.turn();
  }
  return { ...opened, operations: once(parsed) };
}

async function* once(operations: readonly PlanOperation[]): AsyncGenerator<PlanOperation, void> {
  yield* operations;
}

async function openLines(bytes: PlanBytes, name: string): Promise<OpenPlan> {
  const lines = readLines(bytes, name);
  const { value: line } = await lines.next();
  const place: Place = { name, line: line?.number ?? 1 };
  const header = line === undefined ? undefined : parseJson(line.text, place);
  const opened = parseHeader(requireObject(header, place), place, []);
  const operations = parseLines(lines, name);
  const iterator: AsyncIterator<PlanOperation, void> = {
    next: () => operations.next(),
    // A generator that was never started does not run its own clean-up.
    return: async () => {
      await bytes.close();
      return operations.return();
    },
  };
  return { ...opened, operations: { [Symbol.asyncIterator]: () => iterator } };
}

async function* parseLines(
  lines: AsyncIterable<PlanLine>,
  name: string,
): AsyncGenerator<PlanOperation, void> {
  let operation = 0;
  for await (const { number: line, text } of lines) {
    yield parseOperation(parseJson(text, { name, line }), { name, line, operation });
    operation += 1;
  }
}

function parseJson(text: string, place: Place): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const problem = findJsonProblem(text);
    const offset = problem?.offset ?? 0;
    const before = text.slice(0, offset);
    const character = text.codePointAt(offset);
    throw planProblem(
      {
        ...place,
        line: (place.line ?? 1) + (before.match(/\n/g)?.length ?? 0),
        column: offset - before.lastIndexOf('\n'),
      },
      `expected ${problem?.expected ?? 'JSON'}, found ${character === undefined ? 'the end' : quote(String.fromCodePoint(character))}`,
      'Correct the JSON at this place.',
      error,
    );
  }
}

async function parseToml(text: string, name: string): Promise<unknown> {
  const { parse, TomlError } = await import('smol-toml');
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    const reason = error.message.split('\n', 1)[0]?.replace(/^Invalid TOML document: /, '');
    throw planProblem(
      { name, line, column },
      `expected TOML: ${reason ?? ''}`,
      'Correct the TOML at this place; a plan in JSON begins with {.',
      error,
    );
  }
}

function parseHeader(
  value: Record<string, unknown>,
  place: Place,
  otherKeys: readonly string[],
): Omit<OpenPlan, 'operations'> {
  refuseOtherVersion(value['version'], place);
  const header = requireShape(headerShape, value, place, [
    ...Object.keys(headerShape.entries),
    ...otherKeys,
  ]);
  return { message: header.message ?? '', expectations: parseExpectations(header.expect, place) };
}

function refuseOtherVersion(version: unknown, place: Place): void {
  const supported: PlanHeader['version'] = 1;
  if (version === supported) return;
  throw planProblem(
    { ...place, field: 'version' },
    `expected ${String(supported)}, the only version supported, found ${describeValue(version)}`,
    version === undefined
      ? `Begin the plan with "version": ${String(supported)}.`
      : 'Write the plan in that version, or use the release of skillmeat that the plan is for.',
  );
}

function parseExpectations(value: unknown, place: Place): ReadonlyMap<RelativePath, Expectation> {
  const expectations = new Map<RelativePath, Expectation>();
  if (value === undefined) return expectations;
  for (const [key, text] of Object.entries(requireObject(value, { ...place, field: 'expect' }))) {
    const at = { ...place, field: `expect[${shorten(key)}]` };
    const path = parsePathAt(key, at);
    if (expectations.has(path)) {
      throw planProblem(at, `${quote(path)} stands here twice`, 'Keep one of the two.');
    }
    expectations.set(path, parseExpectation(text, at));
  }
  return expectations;
}

function parseExpectation(value: unknown, place: Place): Expectation {
  const text = typeof value === 'string' ? value : '';
  if (text === 'absent' || text === 'directory') return { kind: text };
  const [kind, rest] = splitOnce(text, ':');
  if (kind === 'symlink' && rest !== '' && !rest.includes('\0') && rest.isWellFormed()) {
    return { kind, target: rest };
  }
  const sha256 = kind === 'sha256' ? parseContentHash(rest) : undefined;
  if (sha256 !== undefined) return { kind: 'file', sha256 };
  throw planProblem(
    place,
    `expected absent, directory, sha256:<64 lower-case hex digits> or symlink:<target>, found ${describeValue(value)}`,
    'Write sha256: and the output of sha256sum for a file.',
  );
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const index = text.indexOf(separator);
  return index === -1 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}
