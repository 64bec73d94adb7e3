import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadNative } from '../src/engine/native.js';

const cleanUps: (() => void)[] = [];

/** Runs `act` when this process ends, in whatever way but SIGKILL; the last one given first. */
export function atEnd(act: () => void): void {
  if (cleanUps.push(act) > 1) return;
  process.once('exit', () => {
    for (const cleanUp of cleanUps.toReversed()) cleanUp();
  });
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
}

/** Makes a directory that is gone when this process ends. */
export function makeScratch(parent: string = tmpdir()): string {
  const directory = mkdtempSync(join(realpathSync(parent), 'skillmeat-bench-'));
  atEnd(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/**
 * Returns what syncs the file system below `directory`. In this process where that can be done: a
 * fork marks all memory for copying, and the next one to be measured pays a fault a page for it.
 */
export function fileSystemSync(directory: string): () => void {
  const native = loadNative();
  if (typeof native === 'string') return () => void spawnSync('sync', ['-f', directory]);
  return () => {
    const descriptor = openSync(directory, 'r');
    const failure = native.syncFileSystemNow(descriptor);
    closeSync(descriptor);
    if (failure !== 0) throw new Error(`syncfs of ${directory} failed: error ${String(failure)}`);
  };
}
