import { systemCode } from './errors.js';
import type { Place } from './file-system.js';
import type { Looking } from './inspect.js';

/** Removes a file or a directory with everything below, in the engine's own directory only. */
export async function removeTree({ files, pace }: Looking, place: Place): Promise<void> {
  if (pace.isDue()) await pace.turn();
  const stat = files.stat(place);
  if (stat === undefined) return;
  if (stat.kind !== 'directory') {
    files.removeFile(place);
    return;
  }
  const directory = files.openDirectory(place);
  if (typeof directory === 'string') return;
  try {
    for (const { name } of files.list(directory)) {
      await removeTree({ files, pace }, { directory, name });
    }
  } finally {
    files.closeDirectory(directory);
  }
  removeIfEmpty({ files }, place);
}

/** Removes a directory unless something is in it. */
export function removeIfEmpty({ files }: Pick<Looking, 'files'>, place: Place): void {
  try {
    files.removeDirectory(place);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
  }
}
