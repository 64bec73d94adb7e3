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
  files.removeDirectory(place);
}
