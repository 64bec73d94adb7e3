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
  // Node has no call for it.
  const command = `mkfifo -- ${JSON.stringify(path)}`;
  const { status, stderr } = spawnSync(command, { encoding: 'utf8', shell: true });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
}
