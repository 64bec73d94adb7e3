import { assert } from '../errors.js';
import type { FileSystem, Place } from '../file-system.js';
import { displacedRows, type DisplacedRow } from '../history.js';
import { isSameContent } from '../image.js';
import { inspect } from '../inspect.js';
import { ancestorsOf, quote, type RelativePath } from '../path.js';
import { isObstacle, type Obstacle, RootTree } from '../root-tree.js';
import type { Finding } from '../verify/finding.js';
import { writeContent, type ContentSource } from './content-sources.js';
import type { Proposal, Repairing } from './repairing.js';

/** What a transaction displaced and `stage/` no longer has. */
export async function proposeSlot(finding: Finding, repairing: Repairing): Promise<Proposal> {
  const row = rowOf(finding, repairing);
  const { before } = row;
  const aside = finding.kind === 'slot-damaged' ? 'set aside what is there, and ' : '';
  if (before.kind !== 'file') {
    const message = `${aside}make the ${before.kind} anew`;
    return { action: 'restore', message, act: () => restoreSlot(row, undefined, repairing) };
  }
  const { sha256 } = before;
  const { path, place } = finding;
  const source = await repairing.sources.find({ sha256, path, except: place });
  if (source !== undefined) {
    const message = `${aside}copy it from ${source.name}`;
    return { action: 'restore', message, act: () => restoreSlot(row, source, repairing) };
  }
  return {
    action: 'accept-loss',
    message: `${aside}note that what was at ${quote(row.path)} before transaction ${String(finding.transaction)} is lost: nothing has it, and that path cannot be undone so far`,
    act: async () => {
      await setAside(row, repairing);
      repairing.journal.noteLoss(sha256, repairing.now());
    },
  };
}

function rowOf({ path, transaction: id }: Finding, { journal }: Repairing): DisplacedRow {
  const transaction = id === null ? undefined : journal.transaction(id);
  assert(transaction !== undefined, 'a slot is of a transaction');
  const rows = displacedRows(transaction, journal.changes(transaction.id));
  const row = rows.find((one) => one.path === path);
  assert(row?.keptAt !== undefined, 'a slot has a row');
  return row;
}

async function restoreSlot(
  row: DisplacedRow,
  source: ContentSource | undefined,
  repairing: Repairing,
): Promise<void> {
  const { looking, directory, host, moves } = repairing;
  const { files } = looking;
  const { before, keptAt } = row;
  if (keptAt === undefined || (await setAside(row, repairing))) return;
  using history = new RootTree(files, directory.stage);
  const place = wayTo(keptAt, history, files);
  if (isObstacle(place)) throw new Error(`stage/${place.at} is in the way (${place.obstacle})`);
  switch (before.kind) {
    case 'absent':
      return;
    case 'directory':
      // Whatever its mode was, its files are to be put into it.
      files.makeDirectory(place, before.mode | 0o700);
      return;
    case 'symlink':
      files.makeLink(place, before.target);
      return;
    case 'file': {
      // A name of no transaction: what is left of it after a kill is found as an orphan.
      const draft = `repair-${host.newId()}`;
      const { sha256, mode } = before;
      assert(source !== undefined, 'a file has a source');
      const at: Place = { directory: directory.stage, name: draft };
      const isWritten = await writeContent(looking, source, { draft: at, sha256, mode });
      if (!isWritten) throw new Error(`${source.name} was changed meanwhile; try again`);
      moves.push({ draft, keptAt });
    }
  }
}

/**
 * Finds a place in a slot. What is missing on the way is made: a directory that another program's won
 * over is asked for by no finding, but what was in it is.
 */
function wayTo(keptAt: RelativePath, history: RootTree, files: FileSystem): Place | Obstacle {
  for (const above of ancestorsOf(keptAt)) {
    const place = history.locate(above);
    if (isObstacle(place)) return place;
    if (files.stat(place) === undefined) files.makeDirectory(place, 0o700);
  }
  return history.locate(keptAt);
}

/**
 * Moves what is in a slot and should not be to quarantine (I3).
 *
 * @returns whether the slot has what it should have, by now.
 */
async function setAside(
  { path, before, keptAt }: DisplacedRow,
  repairing: Repairing,
): Promise<boolean> {
  const { looking, directory, quarantine } = repairing;
  if (keptAt === undefined) return true;
  using history = new RootTree(looking.files, directory.stage);
  const place = history.locate(keptAt);
  if (isObstacle(place) || looking.files.stat(place) === undefined) return false;
  const { image } = await inspect(looking, place, keptAt);
  if (isSameContent(image, before)) return true;
  const why = 'found by repair in the place of something that was displaced';
  quarantine.takeIn(place, { path, transaction: Number(/^\d+/.exec(keptAt)?.[0] ?? 0), why });
  return false;
}

/** A name in `stage/` that no transaction needs. */
export function proposeOrphan({ place }: Finding, repairing: Repairing): Proposal {
  const name = (place ?? '').replace(/^stage\//, '');
  const { directory, looking, quarantine } = repairing;
  return {
    action: 'set-aside',
    message: 'move it to quarantine',
    act: async () => {
      const at: Place = { directory: directory.stage, name };
      if (looking.files.stat(at) === undefined) return;
      const why = 'found by repair in the stage directory, needed by no transaction';
      quarantine.takeIn(at, { path: place ?? name, transaction: 0, why });
    },
  };
}

/** Something in quarantine without a note, or a note about nothing. */
export function proposeNote({ kind, place }: Finding, { quarantine }: Repairing): Proposal {
  const name = (place ?? '').replace(/^quarantine\//, '').replace(/\.json$/, '');
  if (kind === 'quarantine-unexplained') {
    return {
      action: 'write-note',
      message: 'write a note that nobody knows why it is there',
      act: async () => {
        quarantine.explain(name, 'found by repair without a note');
      },
    };
  }
  const note = quarantine.noteText(name);
  return {
    action: 'remove',
    message: `remove the note, which said: ${note}`,
    act: async () => {
      quarantine.removeNote(name);
    },
  };
}

/** Makes durable what the acts have written, and gives each content its place. Under the lock. */
export async function finishMoves(repairing: Repairing): Promise<void> {
  const { directory, moves, looking, host } = repairing;
  const { files } = looking;
  // guard: repair-contents-barrier
  await host.barrier();
  if (moves.length === 0) return;
  using history = new RootTree(files, directory.stage);
  for (const { draft, keptAt } of moves) {
    history.trim();
    const place = history.locate(keptAt);
    // What is in the way is found by the next repair, the content as an orphan.
    if (isObstacle(place) || files.stat(place) !== undefined) continue;
    files.moveNew({ directory: directory.stage, name: draft }, place);
  }
  // guard: repair-names-barrier
  await host.barrier();
}
