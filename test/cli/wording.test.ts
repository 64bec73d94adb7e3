import { describe, expect, test } from 'vitest';
import { describeReceipt } from '../../src/cli/describe-receipt.js';
import { describeRecovery, describeRecoveryNotice } from '../../src/cli/describe-recovery.js';
import { describeStatus } from '../../src/cli/describe-status.js';
import { checkStore } from '../../src/cli/diagnosis.js';
import { exitCodes } from '../../src/cli/exit-codes.js';
import { toFailure, UsageError } from '../../src/cli/failure.js';
import { parseDuration, parsePositive } from '../../src/cli/global-options.js';
import { Interruption } from '../../src/cli/interruption.js';
import { counted, printable, printableLines } from '../../src/cli/printable.js';
import { describeEvent, ProgressLine } from '../../src/cli/progress.js';
import { chooseStyle, colorStyle, plainStyle } from '../../src/cli/style.js';
import { CollectionError } from '../../src/collection/index.js';
import {
  type Change,
  EngineError,
  type EngineErrorCode,
  type StoreDiagnosis,
  type StoreStatus,
} from '../../src/engine/index.js';

describe('failures', () => {
  test('an error of a collection keeps its code, its hint and all that is in the way', async () => {
    const conflicts = [{ path: 'a/../b', why: 'it leads out of the artifact' }];
    const details = { path: 'owner/repo', hint: 'Ask its author.', conflicts };
    const error = new CollectionError('ARTIFACT_REFUSED', 'owner/repo is refused', details);
    expect(await toFailure(error)).toEqual({
      code: 'ARTIFACT_REFUSED',
      message: 'owner/repo is refused',
      path: 'owner/repo',
      hint: 'Ask its author.',
      exitCode: exitCodes.ARTIFACT_REFUSED,
      conflicts,
    });
  });

  test.each(Object.entries(exitCodes) as [EngineErrorCode, number][])(
    '%s exits with %i',
    async (code, exitCode) => {
      const error = new EngineError(code, 'what happened', { path: 'a', hint: 'Do this.' });
      expect(await toFailure(error)).toEqual({
        code,
        message: 'what happened',
        path: 'a',
        hint: 'Do this.',
        exitCode,
      });
    },
  );

  test.each([
    [new UsageError('no', 'Do this.'), 'USAGE', 2],
    [Object.assign(new Error('aborted'), { code: 'ABORT_ERR' }), 'ABORTED', 130],
    [new TypeError('x is not a function'), 'INTERNAL', 1],
    ['not even an error', 'INTERNAL', 1],
  ])('%s', async (error, code, exitCode) => {
    expect(await toFailure(error)).toMatchObject({ code, exitCode });
  });
});

describe('options', () => {
  test.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['10', 10_000],
    ['1.5', 1_500],
    ['2m', 120_000],
    ['0', 0],
  ])('%s is %i ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each(['', '-1', '5x', '1e3', ' 5', '5 s', 'Infinity', '2000m', 'constructor'])(
    '%j is no duration',
    (text) => {
      expect(() => parseDuration(text)).toThrow('Expected a duration');
    },
  );

  test.each(['', '0', '-1', '1.5', '1e3', '9007199254740993', 'x'])('%j is no number', (text) => {
    expect(() => parsePositive(text)).toThrow('Expected a whole number');
  });
});

describe('text', () => {
  test('what could steer a terminal is spelled out', () => {
    expect(printable('a\u001b[2J\r\n\tb\u202ec\u0085')).toBe(
      String.raw`a\u{1b}[2J\u{d}\n\tb\u{202e}c\u{85}`,
    );
    expect(printable('Grüße 日本 🥩')).toBe('Grüße 日本 🥩');
    expect(printableLines('a\nb\u0007')).toBe(String.raw`a
b\u{7}`);
  });

  test('nouns agree with their number', () => {
    expect([0, 1, 2].map((count) => counted(count, 'path'))).toEqual([
      '0 paths',
      '1 path',
      '2 paths',
    ]);
  });

  test.each([
    [true, undefined, true, colorStyle],
    [true, '', true, colorStyle],
    [true, '1', true, plainStyle],
    [true, undefined, false, plainStyle],
    [false, undefined, true, plainStyle],
  ])('terminal %s, NO_COLOR %j, allowed %s', (isTerminal, noColor, allowsColor, style) => {
    expect(chooseStyle({ isTerminal, noColor, allowsColor })).toBe(style);
  });
});

test('a long list of changes is cut after 50 lines', () => {
  const changes = Array.from({ length: 60 }, (_, n): Change => {
    const path = `f${String(n)}`;
    return { path, before: { kind: 'absent' }, after: { kind: 'directory', mode: 0o755 } };
  });
  const transaction = {
    id: 7,
    uuid: 'u',
    state: 'committed' as const,
    message: '',
    committedAt: '2026-01-01T00:00:00.000Z',
    changeCount: 60,
    reason: null,
    annotations: {},
    changes,
    superseded: [],
    isPruned: false,
    isPinned: false,
    tags: [],
  };
  const wording = { isDryRun: false, isQuiet: false, style: plainStyle };
  const lines = describeReceipt({ transaction }, wording).split('\n');
  expect(lines[0]).toBe('Committed transaction 7: 60 changed (60 created).');
  expect(lines).toHaveLength(52);
  expect(lines.at(-1)).toBe('… and 10 more');
});

describe('recovery', () => {
  const report = {
    transactions: [3, 4],
    changed: 2,
    superseded: [{ transaction: 3, path: 'a' as never, why: 'edited' }],
    unresolved: [{ id: 4, reason: 'in the way' }],
  };

  test('is one line while a store is opened', () => {
    expect(describeRecoveryNotice(report)).toBe(
      'recovered: 2 transactions checked, 2 paths repaired; 1 path kept as left by another program; unresolved: 4 (see: skillmeat txn status)',
    );
  });

  test('is told in full by recover', () => {
    expect(describeRecovery(report, { isDryRun: false, style: plainStyle })).toBe(
      [
        'Recovered: 2 transactions checked, 2 paths repaired.',
        '  transaction 3: a stays as another program left it (edited)',
        '  transaction 4 is not resolved: in the way',
        '    Remove what is in the way and run this again, or choose: --redo 4 or --undo 4',
      ].join('\n'),
    );
  });
});

const status: StoreStatus = {
  root: '/r',
  head: 0,
  unsettled: 0,
  troubled: [],
  quarantined: 0,
  writer: null,
};

test('the status of a store that nobody has written to', () => {
  expect(describeStatus({ ...status, isLocked: false, drift: null }, plainStyle)).toBe(
    [
      'Root:       /r',
      'Newest:     no transaction yet',
      'Unsettled:  none',
      'Lock:       free',
      'Quarantine: empty',
    ].join('\n'),
  );
});

test('doctor takes an unknown file system for a problem and less than native for a notice', () => {
  const diagnosis: StoreDiagnosis = {
    root: '/r',
    format: 1,
    fileSystem: { name: 'nfs', support: 'network' },
    foldsNames: false,
    capabilities: {
      native: 'off',
      nativeReason: undefined,
      exchange: 'emulated',
      extendedAttributes: 'unknown',
      barrier: 'fsync',
    },
    freeBytes: 1_024,
    transactions: 0,
  };
  const levels = checkStore(diagnosis, { ...status, quarantined: 1 }, true).map(
    ({ name, level }) => `${name}: ${level}`,
  );
  expect(levels).toEqual([
    'file-system: problem',
    'native: notice',
    'exchange: notice',
    'extended-attributes: notice',
    'transactions: ok',
    'quarantine: notice',
    'free-space: notice',
    'lock: notice',
  ]);
});

describe('progress', () => {
  test.each([
    [
      { name: 'skillmeat:progress', event: { root: '', phase: 'apply', done: 3, total: 9 } },
      'applying 3 of 9 paths',
    ],
    [
      {
        name: 'skillmeat:progress',
        event: { root: '', phase: 'stage', done: 3, total: undefined },
      },
      'staging 3 paths',
    ],
    [
      { name: 'skillmeat:progress', event: { root: '', phase: 'pack', done: 3, total: 9 } },
      'packing 3 of 9 contents',
    ],
    [{ name: 'skillmeat:waiting', event: { root: '', waitMs: 1 } }, 'waiting for the lock'],
  ] as const)('%j', (event, text) => {
    expect(describeEvent(event)).toBe(text);
  });

  test('nothing is drawn in the first second', () => {
    const written: unknown[] = [];
    const line = new ProgressLine({ write: (text) => written.push(text) });
    line.clear();
    line[Symbol.dispose]();
    expect(written).toEqual([]);
  });
});

test('the first signal aborts, and leaves the next one to the system', () => {
  using interruption = new Interruption();
  const before = process.listenerCount('SIGINT');
  process.emit('SIGINT');
  expect(interruption.signal.aborted).toBe(true);
  expect(process.listenerCount('SIGINT')).toBe(before - 1);
});
