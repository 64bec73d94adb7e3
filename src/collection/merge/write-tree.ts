import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { MergedEntry } from './merge-trees.js';

/**
 * Writes a merged tree to `location`, which is not there yet: a directory, or a file for an artifact
 * that is one. It is copied from there into the collection as a whole, so that readers see the old
 * directory or the new one.
 */
export async function writeTree(
  location: string,
  entries: ReadonlyMap<string, MergedEntry>,
): Promise<void> {
  if (!entries.has('')) mkdirSync(location, { recursive: true });
  for (const [path, merged] of entries) {
    const at = path === '' ? location : join(location, path);
    mkdirSync(dirname(at), { recursive: true });
    if (merged.kind === 'as' && merged.entry.kind === 'symlink') {
      symlinkSync(merged.entry.target, at);
      continue;
    }
    const { bytes, isExecutable } = await contentOf(merged);
    writeFileSync(at, bytes);
    chmodSync(at, isExecutable ? 0o755 : 0o644);
  }
}

async function contentOf(
  merged: MergedEntry,
): Promise<{ readonly bytes: Uint8Array; readonly isExecutable: boolean }> {
  if (merged.kind === 'text') return merged;
  const { entry } = merged;
  if (entry.kind === 'symlink') throw new Error('bug: a link has no content');
  return { bytes: await entry.read(), isExecutable: entry.isExecutable };
}
