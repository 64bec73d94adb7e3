import path from 'node:path';
import { CollectionError } from '../errors.js';
import { selectEntries } from './artifact-entries.js';
import { CopyWriter } from './copy-writer.js';
import { look, resolveLinks } from './disk.js';
import { describeCopy, type FetchedArtifact, type FetchOptions } from './fetched-artifact.js';
import { listLocalEntries, readLocalFile } from './local-artifact.js';
import { artifactRefused } from './refusal.js';
import type { LocalSource } from './source.js';

/** Copies a local file or directory into `directory`. */
export async function fetchLocal(
  source: LocalSource,
  directory: string,
  { signal, onProgress }: FetchOptions,
): Promise<FetchedArtifact> {
  const shown = source.path;
  if (look(shown) === undefined) {
    throw new CollectionError('SOURCE_NOT_FOUND', `${shown} does not exist`, {
      path: shown,
      hint: 'Check the path; a relative one starts from where the command runs.',
    });
  }
  // The link that the caller names is meant; those inside the artifact are another matter.
  const root = resolveLinks(shown);
  const name = path.basename(shown);
  const kind = look(root)?.kind === 'directory' ? 'directory' : 'file';
  const selection = selectEntries(listLocalEntries({ root, name, signal }));
  if (selection.problems.length > 0) throw artifactRefused(shown, selection.problems);
  const copy = path.join(directory, 'copy');
  const writer = new CopyWriter({ directory: copy, shown, signal, onProgress }, selection);
  for (const file of selection.files) await writer.write(file, readLocalFile(file.content, shown));
  return describeCopy({
    directory,
    copy,
    kind,
    name,
    selection,
    foundAt: root,
    origin: 'local',
    upstream: undefined,
    versionSpec: undefined,
    resolvedSha: undefined,
    resolvedVersion: undefined,
  });
}
