import { systemCode } from './errors.js';
import { displacedSuffix, type Place, type Stat } from './file-system.js';

/** The calls on names that every file system has. */
export interface PlainCalls {
  readonly stat: (place: Place) => Stat | undefined;
  /** Replaces what is at `to`. */
  readonly rename: (from: Place, to: Place) => void;
  readonly link: (from: Place, to: Place) => void;
  readonly unlink: (place: Place) => void;
  /** Makes the next barrier sync the file itself. */
  readonly mustReachDisk: (place: Place) => void;
}

/**
 * Displace, link, take the slot's own name: theirs is missing for an instant. `recover` finishes
 * what a kill leaves of it. A plain rename over theirs would lose an edit made meanwhile (I3).
 */
export function emulateExchange(calls: PlainCalls, ours: Place, theirs: Place): void {
  const displaced: Place = { directory: ours.directory, name: ours.name + displacedSuffix };
  calls.rename(theirs, displaced);
  try {
    emulateMoveNew(calls, ours, theirs);
  } catch (error) {
    emulateMoveNew(calls, displaced, theirs);
    throw error;
  }
  calls.rename(displaced, ours);
}

const cannotLink = new Set(['EPERM', 'EMLINK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'ERANGE']);

/** Renames; throws `EEXIST` when `to` exists. */
export function emulateMoveNew(calls: PlainCalls, from: Place, to: Place): void {
  const isDirectory = calls.stat(from)?.kind === 'directory';
  if (!isDirectory) {
    try {
      calls.link(from, to);
      calls.unlink(from);
      // I2: two names in two directories, whose syncs may be cut apart: btrfs then has lost one
      // name and not got the other. The sync of the file itself brings both.
      // guard: emulated-move-cover
      calls.mustReachDisk(to);
      return;
    } catch (error) {
      const code = systemCode(error);
      if (code === undefined || !cannotLink.has(code)) throw error;
    }
  }
  // No link to be had (a directory, FAT): look, then rename. A directory made meanwhile survives
  // if anything is in it; a file made in these microseconds would not, so files come here last.
  if (calls.stat(to) !== undefined) {
    throw Object.assign(new Error(`EEXIST: rename '${to.name}'`), { code: 'EEXIST' });
  }
  calls.rename(from, to);
}
