import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tryFileLock } from '../../src/engine/index.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { modes, openDescriptors } from '../support/store.js';

let directory = '';
let location = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'skillmeat-file-lock-'));
  location = join(directory, 'place/lock');
  mkdirSync(dirname(location));
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(openDescriptors(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

/** Calls `act` once, right after the file was opened. */
function afterOpening(act: () => void): void {
  const spy = vi.spyOn(NodeFileSystem.prototype, 'openRecord');
  spy.mockImplementationOnce(function (this: NodeFileSystem, place) {
    const file = this.openRecord(place);
    act();
    return file;
  });
}

describe.each(modes)('a file lock with native %s', (native) => {
  test('is held by one at a time, and let go once', () => {
    const one = tryFileLock(location, { native });
    expect(one).toBeDefined();
    expect(tryFileLock(location, { native })).toBeUndefined();
    one?.[Symbol.dispose]();
    const two = tryFileLock(location, { native });
    expect(two).toBeDefined();
    // A second time changes nothing for who has it now.
    one?.[Symbol.dispose]();
    expect(tryFileLock(location, { native })).toBeUndefined();
    two?.[Symbol.dispose]();
  });

  test('excludes those of the other kind', () => {
    const other = native === 'off' ? 'auto' : 'off';
    const elsewhere = join(directory, 'place/other-name');
    using held = tryFileLock(location, { native });
    expect(held).toBeDefined();
    // Under another name this process does not know that it has it: only the kernel does.
    renameSync(location, elsewhere);
    const copy = tryFileLock(location, { native: other });
    expect(copy).toBeDefined();
    copy?.[Symbol.dispose]();
  });

  test('is nobody’s when its directory is gone', () => {
    rmSync(dirname(location), { recursive: true });
    expect(tryFileLock(location, { native })).toBeUndefined();
  });

  test.each([
    ['removed', () => undefined],
    ['replaced', () => writeFileSync(location, '')],
  ])('on a file that was %s meanwhile excludes nobody, and is not believed', (_what, act) => {
    afterOpening(() => {
      renameSync(location, `${location}-away`);
      act();
    });
    expect(tryFileLock(location, { native })).toBeUndefined();
    using again = tryFileLock(location, { native });
    expect(again).toBeDefined();
  });

  test('fails with a name where the directory is a file', () => {
    expect(() => tryFileLock(join(location, 'x/y'), { native })).not.toThrow();
    writeFileSync(location, '');
    expect(() => tryFileLock(join(location, 'x'), { native })).toThrow(/cannot lock/);
  });
});

test('a file lock is taken by the native part where that is to be had', () => {
  using lock = tryFileLock(location);
  expect(lock).toBeDefined();
});

test('a file lock on what SQLite cannot read fails, and is let go of', () => {
  writeFileSync(location, 'no database '.repeat(100));
  expect(() => tryFileLock(location, { native: 'off' })).toThrow(/not a database/);
});

test('a file lock that SQLite of another process holds is nobody else’s', () => {
  using held = tryFileLock(location, { native: 'auto' });
  expect(held).toBeDefined();
  // As another process sees it: what this one holds, it does not know.
  const seen = vi.spyOn(NodeFileSystem.prototype, 'stat').mockReturnValueOnce(undefined);
  expect(tryFileLock(location, { native: 'off' })).toBeUndefined();
  expect(seen).toHaveBeenCalled();
  vi.spyOn(NodeFileSystem.prototype, 'stat').mockReturnValueOnce(undefined);
  expect(tryFileLock(location, { native: 'auto' })).toBeUndefined();
});
