import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Directory, FileSystem, Place } from '../../src/engine/file-system.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { Quarantine } from '../../src/engine/quarantine.js';
import { systemError, watchedFileSystem } from '../support/faults.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'skillmeat-quarantine-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function withQuarantine(
  act: (quarantine: Quarantine, opened: Directory) => void,
  files: FileSystem = new NodeFileSystem({ native: 'auto' }),
): void {
  const opened = files.openRoot(directory);
  try {
    act(new Quarantine({ files, directory: opened, now: () => 0 }), opened);
  } finally {
    files.closeDirectory(opened);
    files.close();
  }
}

test('a torn note gives way to one that can be read', () => {
  writeFileSync(join(directory, '3-1'), 'bytes');
  writeFileSync(join(directory, '3-1.json'), '{"path":');
  writeFileSync(join(directory, 'odd'), 'somebody’s');
  withQuarantine((quarantine) => {
    expect(quarantine.list()).toEqual([
      { name: '3-1', hasItem: true, hasNote: false },
      { name: 'odd', hasItem: true, hasNote: false },
    ]);
    expect(quarantine.noteText('3-1')).toBe('nothing that can be read');
    quarantine.explain('3-1', 'found here');
    expect(quarantine.noteText('3-1')).toContain('found here');
    quarantine.explain('odd', 'found here');
    expect(quarantine.list().every(({ hasNote }) => hasNote)).toBe(true);
  });
  const noteOf = (name: string): unknown =>
    JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8'));
  expect(noteOf('3-1')).toMatchObject({ transaction: 3, why: 'found here' });
  // Its name tells of no transaction.
  expect(noteOf('odd')).toMatchObject({ transaction: 0, why: 'found here' });
});

test('a note is only removed when what it is about is gone', () => {
  for (const name of ['3-1', '3-1.json', '4-1.json']) writeFileSync(join(directory, name), '{}');
  withQuarantine((quarantine) => {
    quarantine.removeNote('3-1');
    quarantine.removeNote('4-1');
  });
  expect(readdirSync(directory).toSorted()).toEqual(['3-1', '3-1.json']);
});

test('what fails to come in leaves a note only if it is there all the same', () => {
  const note = { path: 'a', transaction: 3, why: 'late' };
  writeFileSync(join(directory, 'stays'), 'x');
  writeFileSync(join(directory, 'comes'), 'x');
  const files = watchedFileSystem('auto', ({ method, values }, real) => {
    if (method !== 'moveNew') return;
    const [from, to] = values as [Place, Place];
    // As without the native part, when the old name cannot be removed.
    if (from.name === 'comes') real.moveNew(from, to);
    throw systemError('EACCES');
  });
  withQuarantine((quarantine, opened) => {
    for (const name of ['stays', 'comes']) {
      expect(() => {
        quarantine.takeIn({ directory: opened, name }, note);
      }).toThrow('EACCES');
    }
  }, files);
  expect(readdirSync(directory).toSorted()).toEqual(['3-1', '3-1.json', 'stays']);
});
