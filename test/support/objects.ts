import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ContentHash, Store } from '../../src/engine/index.js';
import { parseContentHash } from '../../src/engine/hash.js';
import { Journal } from '../../src/engine/journal.js';

/** Names of everything in the object store, sorted. */
export function storedObjects(root: string): readonly string[] {
  return readdirSync(join(root, '.skillmeat/objects'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

/** Makes the object of `content` hold `bytes` instead, or removes it. @returns its hash. */
export function plantObject(
  root: string,
  content: string | Uint8Array,
  bytes: string | Uint8Array | undefined,
): string {
  const { sha256, at } = locate(root, content);
  mkdirSync(dirname(at), { recursive: true });
  if (bytes === undefined) rmSync(at);
  else writeFileSync(at, bytes);
  return sha256;
}

/** Returns the bytes of the object of a small `content`, which is not compressed. */
export function readObject(root: string, content: string): string {
  return readFileSync(locate(root, content).at, 'utf8');
}

export function parseHash(sha256: string): ContentHash {
  const parsed = parseContentHash(sha256);
  if (parsed === undefined) throw new Error(`${sha256} is no hash`);
  return parsed;
}

/** A second connection to the journal of a store. */
export function openJournal({ root }: Store): Journal {
  return Journal.open(join(root, '.skillmeat/journal.db'));
}

function locate(
  root: string,
  content: string | Uint8Array,
): { readonly sha256: string; readonly at: string } {
  const sha256 = createHash('sha256').update(content).digest('hex');
  const at = join(root, '.skillmeat/objects', sha256.slice(0, 2), sha256.slice(2));
  return { sha256, at };
}
