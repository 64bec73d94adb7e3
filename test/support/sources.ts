import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { plant, type Seed } from './store.js';

/** Makes a directory outside of the root to copy from; returns its absolute path. */
export function plantSource(directory: string, seed: Seed): string {
  const source = mkdtempSync(join(directory, 'source-'));
  chmodSync(source, 0o755);
  plant(source, seed);
  return source;
}

export function mkfifoSync(path: string): void {
  const { status, stderr } = spawnSync('mkfifo', [path], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mkfifo failed: ${stderr}`);
}
