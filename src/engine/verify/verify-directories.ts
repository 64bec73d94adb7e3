import type { Place } from '../file-system.js';
import { engineDirectoryName } from '../path.js';
import { toFinding } from './finding.js';
import type { Part } from './verifying.js';

/** To make and to remove names in it. */
const ownerMayWrite = 0o300;

/** Whether the engine's own directories can be written to by their owner. */
export const verifyDirectories: Part = async function* ({ directory }, wants) {
  const { files, root, store } = directory;
  const own: Place = { directory: root, name: engineDirectoryName };
  const below = ['stage', 'quarantine', 'objects'].map((name) => ({ directory: store, name }));
  for (const place of [own, ...below]) {
    const stat = files.stat(place);
    const isOwn = place.name === engineDirectoryName;
    // Snapshots make `objects` when they need it.
    if (stat === undefined || !wants(place.name)) continue;
    if ((stat.mode & ownerMayWrite) === ownerMayWrite) continue;
    const where = isOwn ? engineDirectoryName : `${engineDirectoryName}/${place.name}`;
    const message = `${where} is read-only for its owner (mode ${stat.mode.toString(8).padStart(4, '0')}): nothing can be kept there`;
    const details = { place: isOwn ? '.' : place.name };
    yield { unit: place.name, finding: toFinding('directory-read-only', message, details) };
  }
};

/** Whether everything in quarantine says why it is there. */
export const verifyQuarantine: Part = async function* ({ quarantine }, wants) {
  for (const { name, hasItem, hasNote } of quarantine.list()) {
    if ((hasItem && hasNote) || !wants(name)) continue;
    const place = hasItem ? `quarantine/${name}` : `quarantine/${name}.json`;
    const finding = hasItem
      ? toFinding('quarantine-unexplained', `${place} has no note that says why it is there`, {
          place,
        })
      : toFinding('quarantine-note-alone', `what ${place} speaks of is not there`, { place });
    yield { unit: name, finding };
  }
};
