import { systemCode } from './errors.js';
import type { Place } from './file-system.js';
import type { Looking } from './inspect.js';
import { namesEngineDirectory } from './path.js';

/**
 * Removes a file or a directory with everything below, in the engine's own directory only.
 *
 * @param keepsFiles whether only directories and links go; then a directory with a file in it stays.
 */
async function removeTree(
  { files, pace }: Looking,
  place: Place,
  keepsFiles: boolean,
): Promise<void> {
  if (pace.isDue()) await pace.turn();
  const stat = files.stat(place);
  if (stat === undefined) return;
  if (stat.kind !== 'directory') {
    // guard: hollow-keeps-files
    if (keepsFiles && stat.kind !== 'symlink') return;
    files.removeFile(place);
    return;
  }
  // What was displaced may be a directory that nobody may write in, as module caches have.
  if ((stat.mode & 0o700) !== 0o700) files.setModeOf(place, stat, 0o700);
  const directory = files.openDirectory(place);
  if (typeof directory === 'string') return;
  try {
    for (const { name } of files.list(directory)) {
      // guard: remove-nested-store
      if (namesEngineDirectory(name)) throw nestedStore();
      await removeTree({ files, pace }, { directory, name }, keepsFiles);
    }
  } finally {
    files.closeDirectory(directory);
  }
  files.removeDirectory(place);
}

/** Somebody else's, in what was displaced (I3). */
function nestedStore(): Error {
  return Object.assign(new Error('it holds a store of its own'), { code: 'ENOTEMPTY' });
}

/**
 * As {@link removeTree}, for what nobody needs any more: what cannot be removed now is left to the
 * next sweep, and is no reason for anything else to fail.
 *
 * @returns whether nothing is left.
 */
export async function removeTreeIfPossible(
  looking: Looking,
  place: Place,
  { keepsFiles = false }: { readonly keepsFiles?: boolean } = {},
): Promise<boolean> {
  try {
    await removeTree(looking, place, keepsFiles);
    return true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}
