import { createHash } from 'node:crypto';
import path from 'node:path';
import { EngineError } from '../../engine/index.js';
import { listNames, look, removeTree, touch } from './disk.js';
import { cachedBytesMax, cachedPacksMax, cachedRepositoriesMax } from './limits.js';

/*
 * What was fetched before, by repository: `<cache>/<name>-<hash of the URL>/` is a directory of git
 * objects. It may be deleted, as a whole or in part, at any time: whoever reads from it finds out
 * and fetches again.
 */

/** Returns where the objects of the repository at `url` are kept. */
export function cachedObjects(cache: string, url: string): string {
  const name = path.posix
    .basename(url)
    .replace(/\.git$/, '')
    .replaceAll(/[^\w-]/g, '_')
    .slice(-40);
  const hash = createHash('sha256').update(url).digest('hex').slice(0, 16);
  return path.join(cache, `${name}-${hash}`);
}

/** Forgets the repository whose objects are in `directory`, as far as nobody adds some meanwhile. */
export async function forgetCached(directory: string): Promise<void> {
  try {
    await removeTree(directory);
  } catch (error) {
    // What stays is found damaged again, by whoever reads it.
    if (!(error instanceof EngineError)) throw error;
  }
}

/** Notes that `used` was used, and removes what has not been for the longest, beyond the limits. */
export async function tidyCache(cache: string, used: string, nowMs: number): Promise<void> {
  try {
    touch(used, nowMs);
    let repositories = 0;
    let bytes = 0;
    for (const entry of measure(cache).toSorted((a, b) => b.usedMs - a.usedMs)) {
      repositories += 1;
      bytes += entry.bytes;
      const isTooMuch = repositories > cachedRepositoriesMax || bytes > cachedBytesMax;
      if (isTooMuch || entry.packs > cachedPacksMax) await removeTree(entry.location);
    }
  } catch (error) {
    // The copy is made; what is left over here is the next one's to tidy.
    if (!(error instanceof EngineError)) throw error;
  }
}

interface Measured {
  readonly location: string;
  readonly usedMs: number;
  readonly packs: number;
  readonly bytes: number;
}

function measure(cache: string): readonly Measured[] {
  return listNames(cache).flatMap(({ name }) => {
    const location = path.join(cache, name);
    const stat = look(location);
    if (stat?.kind !== 'directory') return [];
    const pack = path.join(location, 'pack');
    const files = listNames(pack).map((file) => ({
      name: file.name,
      bytes: look(path.join(pack, file.name))?.bytes ?? 0,
    }));
    return {
      location,
      usedMs: stat.modifiedMs,
      packs: files.filter((file) => file.name.endsWith('.pack')).length,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    };
  });
}
