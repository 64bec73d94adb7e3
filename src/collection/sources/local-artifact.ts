import path from 'node:path';
import { type FoundEntries, type FoundEntry, isLeftOut } from './artifact-entries.js';
import { listNames, look, readLink, readPieces } from './disk.js';
import { refuseAborted } from './git-program.js';
import { artifactDepthMax, artifactEntriesMax } from './limits.js';
import { artifactRefused } from './refusal.js';

export interface LocalListing {
  /** Absolute; no link. */
  readonly root: string;
  /** The name of a single file in its copy. */
  readonly name: string;
  readonly signal: AbortSignal | undefined;
}

/** Lists the artifact at `root`: what is in the directory, or the single file under `name`. */
export function listLocalEntries({ root, name, signal }: LocalListing): FoundEntries {
  const entries: FoundEntry[] = [];
  const leftOut: string[] = [];
  const visit = (location: string, at: string): void => {
    const entry = describe(location, at);
    if (entry === undefined) return;
    entries.push(entry);
    // Enough to be refused.
    if (entries.length > artifactEntriesMax || at.split('/').length > artifactDepthMax) return;
    if (entry.kind === 'directory') visitAll(location, `${at}/`);
  };
  const visitAll = (directory: string, prefix: string): void => {
    refuseAborted(signal);
    for (const found of listNames(directory)) {
      if (entries.length > artifactEntriesMax) return;
      const at = prefix + found.name;
      if (isLeftOut(found.name)) leftOut.push(at);
      else if (found.isText) visit(path.join(directory, found.name), at);
      else entries.push({ kind: 'refused', path: at, why: 'its name is not UTF-8' });
    }
  };
  if (look(root)?.kind === 'directory') visitAll(root, '');
  else visit(root, name);
  return { entries, leftOut };
}

function describe(location: string, at: string): FoundEntry | undefined {
  const stat = look(location);
  switch (stat?.kind) {
    // Removed while we looked.
    case undefined:
      return undefined;
    case 'directory':
      return { kind: 'directory', path: at };
    case 'link':
      return { kind: 'link', path: at, target: readLink(location) };
    case 'special':
      return { kind: 'refused', path: at, why: 'it is a device, a FIFO or a socket' };
    case 'file':
      return {
        kind: 'file',
        path: at,
        isExecutable: (stat.mode & 0o111) !== 0,
        hasSpecialBits: (stat.mode & 0o7000) !== 0,
        bytes: stat.bytes,
        content: location,
      };
  }
}

/** Yields the content of a file that {@link listLocalEntries} found at `location`. */
export async function* readLocalFile(
  location: string,
  shown: string,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of readPieces(location)) {
    if (piece === undefined) {
      const why = 'it is no regular file any more: another program changed it';
      throw artifactRefused(shown, [{ path: location, why }]);
    }
    yield piece;
  }
}
