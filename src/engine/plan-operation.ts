import type { RelativePath } from './path.js';
import { describeValue, type Place, planProblem, unknownKeysProblem } from './plan-problem.js';
import { type OperationDocuments, operationShapes } from './plan-schema.js';
import { parsePathAt, requireObject, requireShape, unknownKeysOf } from './plan-shape.js';
import { similarName } from './similar-name.js';

/** One operation of a plan, checked. Modes are permission bits; `undefined` leaves the choice open. */
export type PlanOperation =
  | {
      readonly op: 'write';
      readonly path: RelativePath;
      readonly source: ContentSource;
      readonly mode: number | undefined;
    }
  | { readonly op: 'copy'; readonly path: RelativePath; readonly from: string }
  | { readonly op: 'remove'; readonly path: RelativePath; readonly ifPresent: boolean }
  | {
      readonly op: 'rename';
      readonly from: RelativePath;
      readonly to: RelativePath;
      readonly replace: boolean;
    }
  | { readonly op: 'mkdir'; readonly path: RelativePath; readonly mode: number | undefined }
  | { readonly op: 'chmod'; readonly path: RelativePath; readonly mode: number }
  | { readonly op: 'symlink'; readonly path: RelativePath; readonly target: string };

/** Where the content of a written file comes from. */
type ContentSource =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** As the plan names it: a relative path is not resolved yet. */
  | { readonly kind: 'file'; readonly path: string };

const operationNames = [
  'write',
  'copy',
  'remove',
  'rename',
  'mkdir',
  'chmod',
  'symlink',
] as const satisfies readonly PlanOperation['op'][];

/** Which shape a `write` has, by the one key that names its content. */
const writeShapes = {
  content: 'writeContent',
  contentBase64: 'writeContentBase64',
  from: 'writeFrom',
} as const satisfies Record<string, keyof OperationDocuments>;
type WriteSource = keyof typeof writeShapes;
const writeSources: readonly WriteSource[] = ['content', 'contentBase64', 'from'];
const writeKeys: readonly string[] = ['op', 'path', ...writeSources, 'mode'];

/**
 * Checks one operation of a plan.
 *
 * @throws {EngineError} `PLAN_INVALID` and the codes of `parsePath`.
 */
export function parseOperation(input: unknown, place: Place): PlanOperation {
  const value = requireObject(input, place);
  const op = parseName(value['op'], place);
  switch (op) {
    case 'write':
      return parseWrite(value, place);
    case 'copy': {
      const { path, from } = requireShape(operationShapes.copy, value, place);
      return { op, path: parsePathAt(path, place, 'path'), from };
    }
    case 'remove': {
      const { path, ifPresent = false } = requireShape(operationShapes.remove, value, place);
      return { op, path: parsePathAt(path, place, 'path'), ifPresent };
    }
    case 'rename': {
      const shape = requireShape(operationShapes.rename, value, place);
      const from = parsePathAt(shape.from, place, 'from');
      return { op, from, to: parsePathAt(shape.to, place, 'to'), replace: shape.replace ?? false };
    }
    case 'mkdir': {
      const { path, mode } = requireShape(operationShapes.mkdir, value, place);
      return { op, path: parsePathAt(path, place, 'path'), mode: parseMode(mode) };
    }
    case 'chmod': {
      const { path, mode } = requireShape(operationShapes.chmod, value, place);
      return { op, path: parsePathAt(path, place, 'path'), mode: parseMode(mode) };
    }
    case 'symlink': {
      const { path, target } = requireShape(operationShapes.symlink, value, place);
      return { op, path: parsePathAt(path, place, 'path'), target };
    }
  }
}

function parseName(value: unknown, place: Place): PlanOperation['op'] {
  const name = operationNames.find((known) => known === value);
  if (name !== undefined) return name;
  const meant = typeof value === 'string' ? similarName(value, operationNames) : undefined;
  throw planProblem(
    { ...place, field: 'op' },
    `expected one of ${operationNames.join(', ')}, found ${describeValue(value)}`,
    meant === undefined ? 'Say what the operation does under "op".' : `Did you mean "${meant}"?`,
  );
}

function parseWrite(value: Record<string, unknown>, place: Place): PlanOperation {
  const source = parseWriteSource(value, place);
  switch (source) {
    case 'content': {
      const shape = requireShape(operationShapes.writeContent, value, place, writeKeys);
      return write(shape, { kind: 'bytes', bytes: Buffer.from(shape.content) }, place);
    }
    case 'contentBase64': {
      const shape = requireShape(operationShapes.writeContentBase64, value, place, writeKeys);
      const bytes = decodeBase64(shape.contentBase64, { ...place, field: 'contentBase64' });
      return write(shape, { kind: 'bytes', bytes }, place);
    }
    case 'from': {
      const shape = requireShape(operationShapes.writeFrom, value, place, writeKeys);
      return write(shape, { kind: 'file', path: shape.from }, place);
    }
  }
}

function parseWriteSource(value: Record<string, unknown>, place: Place): WriteSource {
  const given = writeSources.filter((key) => Object.hasOwn(value, key));
  const [source] = given;
  if (source !== undefined && given.length === 1) return source;
  const unknown = unknownKeysOf(value, writeKeys);
  if (unknown.length > 0) throw unknownKeysProblem(place, unknown, writeKeys);
  throw planProblem(
    place,
    `expected exactly one of ${writeSources.join(', ')}, found ${given.length === 0 ? 'none' : given.join(' and ')}`,
    'Give text in content, bytes in contentBase64, or the name of a file in from.',
  );
}

function write(
  shape: { readonly path: string; readonly mode?: string | undefined },
  source: ContentSource,
  place: Place,
): PlanOperation {
  const path = parsePathAt(shape.path, place, 'path');
  return { op: 'write', path, source, mode: parseMode(shape.mode) };
}

/** Takes a mode whose digits the shape has checked. */
function parseMode(mode: string): number;
function parseMode(mode: string | undefined): number | undefined;
function parseMode(mode: string | undefined): number | undefined {
  return mode === undefined ? undefined : Number.parseInt(mode, 8);
}

function decodeBase64(text: string, place: Place): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Node skips what is not base64; only text in the one right spelling comes back as it was.
  if (bytes.toString('base64') === text) return bytes;
  throw planProblem(
    place,
    `expected base64, found ${describeValue(text)}`,
    'Use A-Z a-z 0-9 + / with = as padding, and no line breaks.',
  );
}
