import { posix } from 'node:path';
import { ContentHasher, type ReadableView } from '../engine/index.js';

/** Links that are followed before one is taken for a loop. */
const linksMax = 40;

/**
 * Returns an artifact's `content_hash`: SHA-256 in hex; of a file, of its bytes; of a directory, over
 * all files below it in the order of their paths (name by name, by code point): the path relative
 * to the directory as UTF-8, then the bytes. A link to a file counts as that file.
 *
 * Format and order: SkillMeat's `compute_content_hash`.
 *
 * @returns `undefined` when there is neither a file nor a directory.
 */
export async function contentHash(view: ReadableView, path: string): Promise<string | undefined> {
  const found = await view.stat(path);
  const hasher = new ContentHasher();
  if (found?.kind === 'directory') {
    await addDirectory(view, { path, below: '' }, hasher);
    return hasher.digest();
  }
  const file = found?.kind === 'file' ? path : await followToFile(view, path);
  if (file === undefined) return undefined;
  hasher.update((await view.read(file)) ?? '');
  return hasher.digest();
}

async function addDirectory(
  view: ReadableView,
  { path, below }: { readonly path: string; readonly below: string },
  hasher: ContentHasher,
): Promise<void> {
  const entries = (await view.list(path)) ?? [];
  for (const { name, kind } of entries.toSorted((a, b) => compareCodePoints(a.name, b.name))) {
    const at = `${path}/${name}`;
    const relative = below === '' ? name : `${below}/${name}`;
    if (kind === 'directory') {
      await addDirectory(view, { path: at, below: relative }, hasher);
      continue;
    }
    const file = kind === 'file' ? at : await followToFile(view, at);
    if (file === undefined) continue;
    hasher.update(relative);
    hasher.update((await view.read(file)) ?? '');
  }
}

/** Returns the path of the file that `path` is or leads to, inside the view. */
async function followToFile(view: ReadableView, path: string): Promise<string | undefined> {
  let at = path;
  for (let links = 0; links < linksMax; links += 1) {
    const found = await view.stat(at);
    if (found?.kind === 'file') return at;
    if (found?.kind !== 'symlink' || found.target === undefined) return undefined;
    at = posix.join(posix.dirname(at), found.target);
    if (at.startsWith('..') || posix.isAbsolute(found.target)) return undefined;
  }
  return undefined;
}

/** UTF-16 puts U+E000–U+FFFF after what lies beyond U+FFFF; code points do not. */
function compareCodePoints(a: string, b: string): number {
  if (a === b) return 0;
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.compare(right);
}
