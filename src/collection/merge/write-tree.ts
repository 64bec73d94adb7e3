import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Tree } from './tree.js';

/**
 * Writes a merged tree to `location`, which is not there yet: a directory, or a file for an artifact
 * that is one. It is copied from there into the collection as a whole, so that readers see the old
 * directory or the new one.
 */
export async function writeTree(location: string, entries: Tree): Promise<void> {
  if (!entries.has('')) mkdirSync(location, { recursive: true });
  for (const [path, entry] of entries) {
    const at = path === '' ? location : join(location, path);
    mkdirSync(dirname(at), { recursive: true });
    if (entry.kind === 'symlink') {
      symlinkSync(entry.target, at);
      continue;
    }
    writeFileSync(at, await entry.read());
    chmodSync(at, entry.isExecutable ? 0o755 : 0o644);
  }
}
