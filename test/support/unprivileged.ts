import { spawnSync } from 'node:child_process';
import { chmodSync, lchownSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argumentsFor } from './programs.js';
import type { Mode } from './store.js';
import type { ChildResult, ChildStep } from './unprivileged-child.js';

/** `nobody` when the tests run as root, else whoever runs them. */
export const unprivilegedUser: number = process.getuid?.() === 0 ? 65_534 : 0;

/** Runs transactions in a process without privileges. */
export function runUnprivileged(
  root: string,
  mode: Mode,
  transactions: readonly (readonly ChildStep[])[],
): readonly ChildResult[] {
  chmodSync(dirname(root), 0o755);
  const child = join(import.meta.dirname, 'unprivileged-child.ts');
  const user = unprivilegedUser === 0 ? {} : { uid: unprivilegedUser, gid: unprivilegedUser };
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [...argumentsFor(child), root, mode, JSON.stringify(transactions)],
    { encoding: 'utf8', ...user },
  );
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as readonly ChildResult[];
}

/** Gives everything at and below `path` to the user without privileges. */
export function giveAway(path: string): void {
  if (unprivilegedUser === 0) return;
  lchownSync(path, unprivilegedUser, unprivilegedUser);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const at = join(path, entry.name);
    if (entry.isDirectory()) giveAway(at);
    else lchownSync(at, unprivilegedUser, unprivilegedUser);
  }
}
