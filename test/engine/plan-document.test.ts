import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import * as fc from 'fast-check';
import { stringify as stringifyToml } from 'smol-toml';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { planJsonSchema, planSchemaPath } from '../../scripts/generate-plan-schema.js';
import { EngineError, type EngineErrorCode } from '../../src/engine/errors.js';
import {
  type Expectation,
  type OpenPlanOptions,
  openPlan,
  type PlanDocument,
  type PlanFormat,
  type PlanOperation,
  type PlanOperationDocument,
  type PlanSource,
} from '../../src/engine/plan-document.js';
import { planDocumentBytesMax, planLineBytesMax } from '../../src/engine/plan-stream.js';

const sha256 = 'a'.repeat(64);

interface ReadPlan {
  readonly message: string;
  readonly expectations: readonly (readonly [string, Expectation])[];
  readonly operations: readonly unknown[];
}

async function read(source: PlanSource, options: OpenPlanOptions = {}): Promise<ReadPlan> {
  const { message, expectations, operations } = await openPlan(source, options);
  return {
    message,
    expectations: [...expectations],
    operations: (await collect(operations)).map(plainBytes),
  };
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Makes operations comparable: a Buffer and a Uint8Array of the same bytes differ for `toEqual`. */
function plainBytes(operation: PlanOperation): unknown {
  if (operation.op !== 'write' || operation.source.kind === 'file') return operation;
  const base64 = Buffer.from(operation.source.bytes).toString('base64');
  return { ...operation, source: { kind: 'bytes', base64 } };
}

async function* pieces(...all: (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  yield* all;
}

async function failure(source: unknown, options: OpenPlanOptions = {}): Promise<EngineError> {
  try {
    await read(source as PlanSource, options);
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error('the plan was accepted');
}

function planOf(...operations: unknown[]): unknown {
  return { version: 1, operations };
}

const everyOperation: readonly PlanOperationDocument[] = [
  { op: 'write', path: 'a/b.md', content: 'tëxt 🥩\n', mode: '0644' },
  { op: 'write', path: 'bin/x', contentBase64: '/wA=', mode: '755' },
  { op: 'write', path: 'big.bin', from: '/path/to/source' },
  { op: 'copy', path: 'skills/x', from: '../dir' },
  { op: 'remove', path: 'old', ifPresent: true },
  { op: 'remove', path: 'older' },
  { op: 'rename', from: 'a', to: 'b', replace: true },
  { op: 'rename', from: 'c', to: 'd' },
  { op: 'mkdir', path: 'd/' },
  { op: 'mkdir', path: 'e', mode: '0700' },
  { op: 'chmod', path: 'f', mode: '0000' },
  { op: 'symlink', path: 'l', target: 'a/b.md' },
];

const fullPlan: PlanDocument = {
  version: 1,
  message: 'Adds the ünïcode skill',
  expect: {
    'collection.lock': `sha256:${sha256}`,
    'skills/new': 'absent',
    'skills/old': 'directory',
    'skills/link': 'symlink:../other: place',
  },
  operations: everyOperation,
};

const fullPlanRead: ReadPlan = {
  message: 'Adds the ünïcode skill',
  expectations: [
    ['collection.lock', { kind: 'file', sha256 } as unknown as Expectation],
    ['skills/new', { kind: 'absent' }],
    ['skills/old', { kind: 'directory' }],
    ['skills/link', { kind: 'symlink', target: '../other: place' }],
  ],
  operations: [
    {
      op: 'write',
      path: 'a/b.md',
      source: { kind: 'bytes', base64: Buffer.from('tëxt 🥩\n').toString('base64') },
      mode: 0o644,
    },
    { op: 'write', path: 'bin/x', source: { kind: 'bytes', base64: '/wA=' }, mode: 0o755 },
    {
      op: 'write',
      path: 'big.bin',
      source: { kind: 'file', path: '/path/to/source' },
      mode: undefined,
    },
    { op: 'copy', path: 'skills/x', from: '../dir' },
    { op: 'remove', path: 'old', ifPresent: true },
    { op: 'remove', path: 'older', ifPresent: false },
    { op: 'rename', from: 'a', to: 'b', replace: true },
    { op: 'rename', from: 'c', to: 'd', replace: false },
    { op: 'mkdir', path: 'd', mode: undefined },
    { op: 'mkdir', path: 'e', mode: 0o700 },
    { op: 'chmod', path: 'f', mode: 0 },
    { op: 'symlink', path: 'l', target: 'a/b.md' },
  ],
};

/** Returns `plan` as text of each format. */
function written(plan: PlanDocument): Readonly<Record<PlanFormat, string>> {
  const { operations, ...header } = plan;
  return {
    json: JSON.stringify(plan, undefined, 2),
    jsonl: [header, ...operations].map((line) => JSON.stringify(line)).join('\n'),
    toml: stringifyToml(plan),
  };
}

const formats = ['json', 'jsonl', 'toml'] as const;

describe('what a plan says', () => {
  test('an object gives every operation, with paths, modes and contents parsed', async () => {
    expect(await read(fullPlan)).toStrictEqual(fullPlanRead);
  });

  test.each(formats)(
    '%s gives the same plan as the object, with and without its name',
    async (format) => {
      const text = written(fullPlan)[format];
      expect(await read(pieces(text), { format })).toStrictEqual(fullPlanRead);
      expect(await read(pieces(text))).toStrictEqual(fullPlanRead);
      expect(await read(pieces(Buffer.from(text)))).toStrictEqual(fullPlanRead);
    },
  );

  test('the examples in docs/plan-format.md say the same in each format', async () => {
    const page = readFileSync(new URL('../../docs/plan-format.md', import.meta.url), 'utf8');
    const examples = Array.from(page.matchAll(/^```(\w+)\n(.*?)^```/gms));
    expect(examples.map(([, format]) => format)).toEqual(formats);
    const plans = await Promise.all(examples.map(([, , text = '']) => read(pieces(text))));
    expect(plans[0]?.operations).toHaveLength(6);
    for (const plan of plans) expect(plan).toStrictEqual(plans[0]);
  });

  test('message and expectations may be left out', async () => {
    const empty = { message: '', expectations: [], operations: [] };
    expect(await read({ version: 1, operations: [] })).toStrictEqual(empty);
    expect(await read(pieces('{"version":1}'))).toStrictEqual(empty);
    expect(await read(pieces('version = 1\noperations = []'))).toStrictEqual(empty);
  });

  test('an optional field that is undefined counts as left out', async () => {
    const plan = await read({
      version: 1,
      message: undefined,
      expect: undefined,
      operations: [{ op: 'mkdir', path: 'd', mode: undefined }],
    });
    expect(plan.operations).toStrictEqual([{ op: 'mkdir', path: 'd', mode: undefined }]);
  });

  test('a path may be written twice', async () => {
    const write = { op: 'write', path: 'a', content: '' } as const;
    expect((await read({ version: 1, operations: [write, write] })).operations).toHaveLength(2);
  });

  test('an expectation of a file whose name JavaScript gives a meaning is kept', async () => {
    const text =
      '{"version":1,"expect":{"constructor":"absent","__proto__":"absent"},"operations":[]}';
    expect((await read(pieces(text))).expectations).toStrictEqual([
      ['constructor', { kind: 'absent' }],
      ['__proto__', { kind: 'absent' }],
    ]);
  });

  test('a content of 40 MB in base64 does not exhaust the stack', async () => {
    const contentBase64 = Buffer.alloc(30_000_000).toString('base64');
    const { operations } = await openPlan({
      version: 1,
      operations: [{ op: 'write', path: 'a', contentBase64 }],
    });
    const [write] = await collect(operations);
    expect(write).toMatchObject({ op: 'write', source: { bytes: { length: 30_000_000 } } });
  });
});

describe('how a plan is read', () => {
  test.each([
    ['{"version":1}\n{"op":"mkdir","path":"d"}', 'jsonl'],
    ['\n \t\r\n{"version":1}', 'jsonl'],
    ['{"version":1,"operations":[]}', 'json'],
    ['{"version":1,"operations":[]}\n', 'json'],
    ['{\n"version":1,"operations":[]}', 'json'],
    ['{"version":1,\n"operations":[]}', 'json'],
    ['\n\n{"version":1,"operations":[]}', 'json'],
    ['version=1\noperations=[]', 'toml'],
    ['# {\nversion=1\noperations=[]', 'toml'],
  ] as const)('%j is read as %s', async (text, format) => {
    const plan = await read(pieces(text));
    expect(plan).toStrictEqual(await read(pieces(text), { format }));
    for (const other of formats.filter((name) => name !== format)) {
      expect(await failure(pieces(text), { format: other })).toMatchObject({
        code: 'PLAN_INVALID',
      });
    }
  });

  const tricky = written(fullPlan).jsonl;
  test.each([
    ['plain', tricky],
    ['with a byte order mark', `\ufeff${tricky}`],
    ['with CRLF', tricky.replaceAll('\n', '\r\n')],
    ['with blank lines', `\n \n${tricky.replaceAll('\n', '\n\t\r\n\n')}\n\n`],
  ])('JSON Lines %s may be cut at every byte', async (_, text) => {
    const bytes = Buffer.from(text);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const plan = await read(pieces(bytes.subarray(0, cut), bytes.subarray(cut)));
      expect(plan).toStrictEqual(fullPlanRead);
    }
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(await read(pieces(...single))).toStrictEqual(fullPlanRead);
  });

  test.each(formats)(
    '%s may begin with a byte order mark and end its lines in CRLF',
    async (format) => {
      const text = `\ufeff${written(fullPlan)[format].replaceAll('\n', '\r\n')}`;
      expect(await read(pieces(text))).toStrictEqual(fullPlanRead);
      expect(await read(pieces(...Array.from(text)))).toStrictEqual(fullPlanRead);
    },
  );

  test('a string may be cut inside a character', async () => {
    expect(await read(pieces(...written(fullPlan).json.split('')))).toStrictEqual(fullPlanRead);
  });

  test('a source may use one buffer for all its pieces', async () => {
    const bytes = Buffer.from(written(fullPlan).jsonl);
    for (const format of [undefined, 'jsonl'] as const) {
      const plan = await read(reusingBuffer(bytes, 7), { format });
      expect(plan).toStrictEqual(fullPlanRead);
    }
    expect(await read(reusingBuffer(Buffer.from(written(fullPlan).json), 7))).toStrictEqual(
      fullPlanRead,
    );
  });

  test('JSON Lines are read no further than they are asked for', async () => {
    let linesRead = 0;
    async function* endless(): AsyncGenerator<string> {
      yield '{"version":1}\n';
      for (;;) {
        linesRead += 1;
        yield '{"op":"mkdir","path":"d"}\n';
      }
    }
    const { operations } = await openPlan(endless(), { format: 'jsonl' });
    let operationsSeen = 0;
    for await (const operation of operations) {
      expect(operation.op).toBe('mkdir');
      operationsSeen += 1;
      if (operationsSeen === 1_000) break;
    }
    expect(linesRead).toBe(1_000);
  });
});

describe('the source is let go', () => {
  const jsonl = ['{"version":1}\n', '{"op":"mkdir","path":"d"}\n', '{"op":"mkdir","path":"e"}\n'];

  test('when the operations are not wanted', async () => {
    const source = watched(jsonl);
    const { operations } = await openPlan(source);
    await operations[Symbol.asyncIterator]().return?.();
    expect(source.isOpen).toBe(false);
  });

  test.each([
    ['cut into lines', jsonl],
    ['in one piece', [jsonl.join(''), '']],
  ])('when the reader stops early, with the plan %s', async (_, parts) => {
    const source = watched(parts);
    for await (const operation of (await openPlan(source)).operations) {
      expect(operation).toMatchObject({ path: 'd' });
      break;
    }
    expect(source.isOpen).toBe(false);
  });

  test.each([
    ['the header', ['{"version":2}\n', 'x']],
    ['an operation', ['{"version":1}\n{}\n', 'x']],
    ['the beginning', [' \n', 'x', 'y']],
  ])('when %s is refused', async (_, parts) => {
    const source = watched(parts);
    await failure(source);
    expect(source.isOpen).toBe(false);
  });
});

interface WatchedSource extends AsyncIterable<string> {
  isOpen: boolean;
}

function watched(parts: readonly string[]): WatchedSource {
  return {
    isOpen: true,
    async *[Symbol.asyncIterator]() {
      try {
        yield* parts;
      } finally {
        this.isOpen = false;
      }
    },
  };
}

async function* reusingBuffer(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(pieceBytes);
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    const length = bytes.copy(buffer, 0, start, start + pieceBytes);
    yield buffer.subarray(0, length);
    buffer.fill('#');
  }
}

const path = 'a';

/** What the published schema can say, and so other programs can check. */
const refusedBySchema: readonly (readonly [document: unknown, ...message: string[]])[] = [
  [1, 'expected an object, found 1'],
  [null, 'expected an object, found null'],
  [[], 'expected an object, found an array of 0'],
  [{ operations: [] }, 'version: expected 1', 'found nothing'],
  [{ version: 2, operations: [] }, 'version: expected 1, the only version supported, found 2'],
  [{ version: '1', operations: [] }, 'version: expected 1', 'found "1"'],
  [{ version: 1 }, 'operations: expected an array, found nothing'],
  [{ version: 1, operations: {} }, 'operations: expected an array, found an object'],
  [{ version: 1, operations: [], message: 1 }, 'message: expected text in a string, found 1'],
  [{ version: 1, operations: [], extra: 1 }, 'unknown key "extra"'],
  [{ version: 1, operations: [], mesage: '' }, 'unknown key "mesage" (did you mean "message"?)'],
  [{ version: 1, opertions: [] }, 'unknown key "opertions" (did you mean "operations"?)'],
  [{ version: 1, operations: [], expect: [] }, 'expect: expected an object, found an array of 0'],
  ...[
    '',
    'Absent',
    'file',
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${sha256}0`,
    'symlink:',
    'symlink:a\0',
    1,
    null,
  ].map(
    (value) =>
      [
        { version: 1, operations: [], expect: { 'a/b': value } },
        'expect["a/b"]: expected absent, directory, sha256:<64 lower-case hex digits> or symlink:<target>, found ',
      ] as const,
  ),
  [planOf(1), 'operations[0]: expected an object, found 1'],
  [planOf([]), 'operations[0]: expected an object, found an array of 0'],
  [planOf({}), 'operations[0].op: expected one of write, copy, ', 'found nothing'],
  [planOf({ op: 'delete', path }), 'operations[0].op: expected one of', 'found "delete"'],
  [planOf({ op: 'constructor', path }), 'found "constructor"'],
  [planOf({ op: 'mkdir', path }, { op: 'mkdir' }), 'operations[1]: expected "path", found nothing'],
  [planOf({ op: 'rename' }), 'operations[0]: expected "from" and "to"'],
  [planOf({ op: 'mkdir', path: 1 }), 'operations[0].path: expected a path in a string, found 1'],
  [planOf({ op: 'mkdir', path, pth: 1 }), 'unknown key "pth" (did you mean "path"?)'],
  [planOf({ op: 'mkdir', path, content: '' }), 'operations[0]: unknown key "content"'],
  [planOf({ op: 'mkdir', path, constructor: 1 }), 'operations[0]: unknown key "constructor"'],
  [
    planOf({ op: 'mkdir', path, x1: 1, x2: 1, x3: 1, x4: 1 }),
    'unknown keys "x1", "x2", "x3" and 1 more',
  ],
  [
    planOf({ op: 'write', path }),
    'operations[0]: expected exactly one of content, contentBase64, from, found none',
  ],
  [planOf({ op: 'write', path, content: '', from: 'x' }), 'found content and from'],
  [planOf({ op: 'write', path, contents: '' }), 'unknown key "contents" (did you mean "content"?)'],
  [planOf({ op: 'write', path, content: '', ifPresent: true }), 'unknown key "ifPresent"'],
  [planOf({ op: 'write', content: '' }), 'operations[0]: expected "path", found nothing'],
  [
    planOf({ op: 'write', path, content: 1 }),
    'operations[0].content: expected text in a string, found 1',
  ],
  ...[
    'A',
    'AA',
    'AAA',
    'AA=',
    'AB==',
    'AAB=',
    'AAAA=',
    'A===',
    'AA A',
    'AAAA\n',
    '-_-_',
    'Ä===',
  ].map(
    (contentBase64) =>
      [
        planOf({ op: 'write', path, contentBase64 }),
        `operations[0].contentBase64: expected base64, found ${JSON.stringify(contentBase64)}`,
      ] as const,
  ),
  [
    planOf({ op: 'write', path, contentBase64: 1 }),
    'operations[0].contentBase64: expected base64 in a string, found 1',
  ],
  [
    planOf({ op: 'write', path, from: '' }),
    'operations[0].from: expected a path, neither empty nor',
  ],
  [
    planOf({ op: 'copy', path, from: 'a\0' }),
    'operations[0].from: expected a path, neither empty nor',
  ],
  [
    planOf({ op: 'symlink', path, target: '' }),
    'operations[0].target: expected a path, neither empty',
  ],
  ...[
    '',
    '8',
    '64',
    '0648',
    '00644',
    '4755',
    '04755',
    '0o644',
    '0x1ff',
    ' 644',
    '644\n',
    '0344',
    '044',
    '000',
  ].flatMap((mode) =>
    [
      planOf({ op: 'write', path, content: '', mode }),
      planOf({ op: 'write', path, contentBase64: '', mode }),
      planOf({ op: 'write', path, from: 'x', mode }),
      planOf({ op: 'mkdir', path, mode }),
    ].map(
      (document) =>
        [
          document,
          'operations[0].mode: expected octal permission bits that let the owner ',
          `found ${JSON.stringify(mode)}`,
        ] as const,
    ),
  ),
  [
    planOf({ op: 'mkdir', path, mode: '0644' }),
    'operations[0].mode: expected octal permission bits',
  ],
  [planOf({ op: 'mkdir', path, mode: 493 }), 'operations[0].mode: ', 'in a string, found 493'],
  [planOf({ op: 'chmod', path }), 'operations[0]: expected "mode", found nothing'],
  ...['8', '0800', '04755', '4755'].map(
    (mode) =>
      [
        planOf({ op: 'chmod', path, mode }),
        'operations[0].mode: expected octal permission bits',
      ] as const,
  ),
  [
    planOf({ op: 'remove', path, ifPresent: 1 }),
    'operations[0].ifPresent: expected true or false, found 1',
  ],
  [
    planOf({ op: 'rename', from: 'a', to: 'b', replace: null }),
    'operations[0].replace: expected true or false, found null',
  ],
];

/** What a JSON Schema cannot say, or not well. */
const refusedBeyondSchema: readonly (readonly [EngineErrorCode, unknown, string])[] = [
  [
    'PATH_ESCAPES_ROOT',
    planOf({ op: 'mkdir', path }, { op: 'mkdir', path: '../x' }),
    'operations[1].path: "../x" contains ".."',
  ],
  [
    'PATH_ESCAPES_ROOT',
    planOf({ op: 'rename', from: '/x', to: 'b' }),
    'operations[0].from: "/x" is absolute',
  ],
  ['PATH_INVALID', planOf({ op: 'rename', from: 'a', to: 'a//b' }), 'operations[0].to: "a//b"'],
  [
    'PATH_INVALID',
    { version: 1, operations: [], expect: { 'a\\b': 'absent' } },
    'expect["a\\\\b"]: "a\\\\b" contains a backslash',
  ],
  ['PATH_RESERVED', planOf({ op: 'chmod', path: 'nul', mode: '644' }), 'operations[0].path: '],
  [
    'PATH_IN_ENGINE_DIRECTORY',
    planOf({ op: 'remove', path: '.skillmeat/x' }),
    'operations[0].path: ',
  ],
  ['PATH_TOO_LONG', planOf({ op: 'remove', path: 'x'.repeat(300) }), 'operations[0].path: '],
  ['PATH_INVALID', planOf({ op: 'remove', path: '\ud800' }), 'operations[0].path: '],
  [
    'PLAN_INVALID',
    planOf({ op: 'write', path, content: 'a\ud800' }),
    'operations[0].content: expected text that is valid Unicode',
  ],
  [
    'PLAN_INVALID',
    planOf({ op: 'write', path, from: 'a\udc00' }),
    'operations[0].from: expected text that is valid Unicode',
  ],
  [
    'PLAN_INVALID',
    planOf({ op: 'symlink', path, target: 'a\udc00' }),
    'operations[0].target: expected text that is valid Unicode',
  ],
  [
    'PLAN_INVALID',
    { version: 1, message: '\ud800', operations: [] },
    'message: expected text that is valid Unicode',
  ],
  [
    'PLAN_INVALID',
    { version: 1, operations: [], expect: { a: 'symlink:\ud800' } },
    'expect["a"]: expected absent',
  ],
  [
    'PLAN_INVALID',
    { version: 1, operations: [], expect: { a: 'absent', 'a/': 'directory' } },
    'expect["a/"]: "a" stands here twice',
  ],
];

describe('what a plan must not say', () => {
  test.each(refusedBySchema)('%j is PLAN_INVALID', async (document, ...message) => {
    const error = await failure(pieces(JSON.stringify(document)), {
      name: 'plan.json',
      format: 'json',
    });
    expect(error.code).toBe('PLAN_INVALID');
    expect(error.message).toMatch(/^plan\.json: /);
    for (const part of message) expect(error.message).toContain(part);
    expect(error.hint).toMatch(/^[A-Za-z].*[.?}]$/);
  });

  test.each(refusedBeyondSchema)('%s is the code for %j', async (code, document, message) => {
    const error = await failure(document);
    expect(error.code).toBe(code);
    expect(error.message).toContain(`the plan: ${message}`);
    expect(error.hint).toBeTypeOf('string');
  });

  test('a long value is shortened in the message', async () => {
    const error = await failure(planOf({ op: 'chmod', path, mode: '7'.repeat(100_000) }));
    expect(error.message).toContain(`found "${'7'.repeat(60)}"… (100000 characters)`);
    expect(error.message.length).toBeLessThan(250);
  });

  test('a value that only an object can hold is described', async () => {
    for (const [content, found] of [
      [new Date(0), 'a date'],
      [1n, '1'],
      [Symbol('s'), 'a symbol'],
      [() => 1, 'a function'],
      [Buffer.alloc(3), 'an object'],
    ] as const) {
      const error = await failure(planOf({ op: 'write', path, content }));
      expect(error.message).toContain(`expected text in a string, found ${found}`);
    }
  });

  test('a mistake in an operation name is recognised', async () => {
    const error = await failure(planOf({ op: 'wirte', path, content: '' }));
    expect(error.hint).toBe('Did you mean "write"?');
  });

  test('an object is checked as a whole before its first operation is given', async () => {
    const plan = planOf({ op: 'mkdir', path }, { op: 'mkdir', path: '..' });
    await expect(openPlan(plan as PlanDocument)).rejects.toMatchObject({
      code: 'PATH_ESCAPES_ROOT',
    });
  });
});

describe('where a file is wrong', () => {
  test.each([
    [
      'json',
      '{\n  "version": 1,\n  "operations": [}\n}',
      'line 3, column 18: expected a value or "]", found "}"',
    ],
    [
      'json',
      '{"version":1,"operations":[]',
      'line 1, column 29: expected "," or "}", found the end',
    ],
    ['json', '{\n"message": "a\nb"}', 'line 2, column 14: expected a closing double quote'],
    [
      'json',
      '{"version":1,"operations":[]} 🥩',
      'line 1, column 31: expected nothing more, found "🥩"',
    ],
    [
      'jsonl',
      '{"version":1}\n\n{"op":"mkdir" "path":"d"}',
      'line 3, column 15: expected "," or "}", found "\\""',
    ],
    [
      'jsonl',
      '{"version":1}\n{"op":"mkdir","path":"d"}\n\r\n{"op":"mkdir"}',
      'line 4: operations[1]: expected "path"',
    ],
    [
      'jsonl',
      '{"version":1}\n{"op":"mkdir","path":".."}',
      'line 2: operations[0].path: ".." contains',
    ],
    ['jsonl', '\n{"version":1,"expct":{}}', 'line 2: unknown key "expct" (did you mean "expect"?)'],
    ['jsonl', '{"version":1,"operations":[]}', 'line 1: unknown key "operations"'],
    ['jsonl', '{"op":"mkdir","path":"d"}', 'line 1: version: expected 1'],
    ['jsonl', '', 'line 1: expected an object, found nothing'],
    ['toml', 'version = 1\noperations = [ = ]', 'line 2, column 16: expected TOML: '],
    ['toml', 'version = 1\nversion = 1', 'line 2, column 1: expected TOML: '],
    [
      'toml',
      'version = 1\n[[operations]]\nop = "chmod"\npath = "a"\nmode = 0o644',
      'operations[0].mode: expected octal permission bits, such as 0644, in a string, found 420',
    ],
    [
      'toml',
      'version = 1\nmessage = 2020-01-01\noperations = []',
      'message: expected text in a string, found a date',
    ],
  ] as const)('%s %j', async (format, text, message) => {
    const error = await failure(pieces(text), { format, name: 'the file' });
    expect(error).toMatchObject({ message: expect.stringContaining('the file') });
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });

  test.each(['', ' \n\t\r\n', '\ufeff'])('%j is refused as empty', async (text) => {
    const error = await failure(pieces(text), { name: 'plan.json' });
    expect(error).toMatchObject({
      code: 'PLAN_INVALID',
      message: 'plan.json: expected a plan, found nothing',
    });
  });

  test.each(formats)('%s that is not UTF-8 is refused with the line', async (format) => {
    const [before = '', after = ''] = written(fullPlan)[format].split('🥩');
    const bytes = [Buffer.from(before), Buffer.of(0xff), Buffer.from(after)];
    const error = await failure(pieces(...bytes), { format });
    expect(error.code).toBe('PLAN_INVALID');
    expect(error.message).toBe(
      `the plan, line ${String(before.split('\n').length)}: expected UTF-8, found other bytes`,
    );
  });

  test.each([
    [['{"version":1,"message":"\ud800', Buffer.from('"}')]],
    [['{"version":1,"message":"\ud800"}']],
    [['{"version":1}\n\ud83e']],
  ])('half a character in strings is refused: %j', async (parts) => {
    const error = await failure(pieces(...parts));
    expect(error).toMatchObject({ code: 'PLAN_INVALID' });
    expect(error.message).toContain('half of a surrogate pair');
  });

  test('pieces that are neither bytes nor text are a TypeError', async () => {
    const source = pieces(1 as unknown as string);
    await expect(openPlan(source)).rejects.toThrow(TypeError);
  });

  test('an error of the source itself is passed on', async () => {
    const broken = new Error('disk on fire');
    async function* source(): AsyncGenerator<string> {
      yield '{"version":1}\n{"op":"mkdir","path":"d"}\n';
      throw broken;
    }
    await expect(read(source())).rejects.toBe(broken);
  });
});

describe('how large a plan may be', () => {
  const megabyte = Buffer.alloc(1_024 ** 2, ' ');
  async function* spaces(bytes: number, ...before: string[]): AsyncGenerator<string | Uint8Array> {
    yield* before;
    for (let left = bytes; left > 0; left -= megabyte.length) {
      yield megabyte.subarray(0, Math.min(left, megabyte.length));
    }
  }

  test('a line of 64 MiB is read, a longer one is LIMIT_EXCEEDED', async () => {
    const header = '{"version":1}';
    const most = planLineBytesMax - header.length;
    expect((await read(spaces(most, header), { format: 'jsonl' })).operations).toEqual([]);
    expect(await failure(spaces(most + 1, header), { format: 'jsonl' })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('the plan, line 1: longer than 67108864 bytes'),
    });
    expect(
      await failure(pieces(header, Buffer.alloc(most + 1, ' '), '\n'), { format: 'jsonl' }),
    ).toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  test.each(['json', 'toml'] as const)(
    '%s of more than 256 MiB is LIMIT_EXCEEDED',
    async (format) => {
      expect(await failure(spaces(planDocumentBytesMax + 1), { format })).toMatchObject({
        code: 'LIMIT_EXCEEDED',
        hint: expect.stringContaining('JSON Lines'),
      });
    },
  );

  test('a JSON document on one line may be longer than a line of JSON Lines', async () => {
    const text = '{"version":1,"operations":[]';
    expect((await read(pieces(text, Buffer.alloc(planLineBytesMax, ' '), '}'))).operations).toEqual(
      [],
    );
  });
});

describe('the published schema', () => {
  const published: unknown = JSON.parse(readFileSync(planSchemaPath, 'utf8'));
  const validate = new Ajv({ strict: true, allErrors: false }).compile(published as object);

  test('is the one that the code gives (else: npx tsx scripts/generate-plan-schema.ts)', () => {
    expect(published).toEqual(planJsonSchema());
  });

  test.each(refusedBySchema)('refuses %j', (document) => {
    expect(validate(document)).toBe(false);
  });

  test.each([...everyOperation.map((operation) => planOf(operation)), fullPlan])(
    'accepts %j',
    (document) => {
      validate(document);
      expect(validate.errors ?? []).toEqual([]);
    },
  );

  test('accepts and refuses what openPlan does, as far as a schema can tell', async () => {
    const word = fc.constantFrom('0644', '0700', '0444', 'AAAA', 'AB==', '', 'a', 'absent', 'x/y');
    const operation = fc.record(
      {
        op: fc.constantFrom('write', 'copy', 'remove', 'rename', 'mkdir', 'chmod', 'symlink'),
        path: fc.constant('a/b'),
        content: word,
        contentBase64: word,
        from: word,
        to: fc.constant('c'),
        mode: word,
        target: word,
        ifPresent: fc.constantFrom(true, 1),
        replace: fc.boolean(),
      },
      { requiredKeys: ['op'] },
    );
    const plan = fc.record(
      {
        version: fc.constantFrom(1, 2),
        message: fc.constantFrom('m', 0),
        expect: fc.dictionary(fc.constantFrom('a', 'b'), word),
        operations: fc.array(operation, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(plan, operation.map(planOf)), async (document) => {
        const isAccepted = await read(document as PlanDocument).then(
          () => true,
          (error: unknown) => {
            expect(error).toBeInstanceOf(EngineError);
            return false;
          },
        );
        expect(validate(document)).toBe(isAccepted);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** Plans that are valid in every way. */
const validPlan: fc.Arbitrary<PlanDocument> = (() => {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  const systemPath = text.filter((value) => value !== '' && !value.includes('\0'));
  const segment = fc.oneof(
    fc.constantFrom(
      'constructor',
      '__proto__',
      'prototype',
      'op',
      '..a',
      'ü',
      '🥩',
      "it's",
      'a=b',
      '#',
    ),
    fc.stringMatching(/^[a-z0-9_-]{1,8}\.md$/),
  );
  const relative = fc
    .array(segment, { minLength: 1, maxLength: 4 })
    .map((parts) => parts.join('/'));
  const fileMode = fc.stringMatching(/^0?[4-7][0-7]{2}$/);
  const write = { op: fc.constant('write' as const), path: relative, mode: fileMode };
  const contentBase64 = fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64'));
  const some = { requiredKeys: ['op', 'path'] as ['op', 'path'] };
  const operation: fc.Arbitrary<PlanOperationDocument> = fc.oneof(
    fc.record({ ...write, content: text }, { requiredKeys: ['op', 'path', 'content'] }),
    fc.record({ ...write, contentBase64 }, { requiredKeys: ['op', 'path', 'contentBase64'] }),
    fc.record({ ...write, from: systemPath }, { requiredKeys: ['op', 'path', 'from'] }),
    fc.record({ op: fc.constant('copy' as const), path: relative, from: systemPath }),
    fc.record(
      { op: fc.constant('remove' as const), path: relative, ifPresent: fc.boolean() },
      some,
    ),
    fc.record(
      { op: fc.constant('rename' as const), from: relative, to: relative, replace: fc.boolean() },
      { requiredKeys: ['op', 'from', 'to'] },
    ),
    fc.record(
      {
        op: fc.constant('mkdir' as const),
        path: relative,
        mode: fc.stringMatching(/^0?7[0-7]{2}$/),
      },
      some,
    ),
    fc.record({
      op: fc.constant('chmod' as const),
      path: relative,
      mode: fc.stringMatching(/^0?[0-7]{3}$/),
    }),
    fc.record({ op: fc.constant('symlink' as const), path: relative, target: systemPath }),
  );
  const expectation = fc.oneof(
    fc.constantFrom('absent', 'directory'),
    fc.stringMatching(/^sha256:[0-9a-f]{64}$/),
    systemPath.map((target) => `symlink:${target}`),
  );
  const expectations = fc
    .uniqueArray(fc.tuple(relative, expectation), { selector: ([key]) => key, maxLength: 4 })
    .map((entries) => Object.fromEntries(entries));
  return fc.record(
    {
      version: fc.constant(1 as const),
      message: text,
      expect: expectations,
      operations: fc.array(operation, { maxLength: 6 }),
    },
    { requiredKeys: ['version', 'operations'] },
  );
})();

test('every valid plan is the same as an object, in JSON, JSON Lines and TOML', async () => {
  await fc.assert(
    fc.asyncProperty(validPlan, fc.integer({ min: 1, max: 64 }), async (plan, pieceBytes) => {
      const expected = await read(plan);
      expect(expected.operations).toHaveLength(plan.operations.length);
      expect(expected.expectations).toHaveLength(Object.keys(plan.expect ?? {}).length);
      for (const format of formats) {
        const bytes = Buffer.from(written(plan)[format]);
        expect(await read(reusingBuffer(bytes, pieceBytes))).toStrictEqual(expected);
        expect(await read(pieces(bytes), { format })).toStrictEqual(expected);
      }
    }),
    { numRuns: 300 },
  );
});

test('a plan that a library writes is typed by its operations', () => {
  expectTypeOf<PlanDocument['operations'][number]>().toEqualTypeOf<PlanOperationDocument>();
  expectTypeOf<PlanOperationDocument['op']>().toEqualTypeOf<PlanOperation['op']>();
  // @ts-expect-error: a write needs a source of its content.
  const incomplete: PlanOperationDocument = { op: 'write', path };
  // @ts-expect-error: chmod needs a mode.
  const modeless: PlanOperationDocument = { op: 'chmod', path };
  expect([incomplete, modeless]).toHaveLength(2);
});
