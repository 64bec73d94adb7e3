import { assert, type PathConflict } from './errors.js';
import { type HistoryReading, placesOf, readKept } from './history.js';
import { type FileImage, type Image, isSameImage } from './image.js';
import type { Journal } from './journal.js';
import type { RelativePath } from './path.js';
import type { StagedView } from './staged-view.js';
import { mergeTexts } from './text-merge.js';
import type { UndonePath } from './undo.js';
import { decideUndo, type UndoDecision } from './undo-decision.js';

/*
 * What other programs changed, while the rest of the directory goes back to a snapshot: three ways,
 * from what the newest transaction left there. Nothing is staged before all of it is decided. What
 * cannot be merged stays as it is, and is told.
 */

/** A path that another program changed, and what the snapshot has there. */
export interface LocalPath {
  readonly path: RelativePath;
  /** As the newest transaction left it. */
  readonly witness: Image;
  /** `undefined`: the snapshot left it out, so it stays. */
  readonly target: Image | undefined;
}

export interface KeptLocal {
  readonly path: RelativePath;
  readonly outcome: UndonePath['outcome'];
  /** Whether a restore must leave it alone. */
  readonly isSpared: boolean;
  /** Why it could not be merged, though the snapshot has something else there. */
  readonly notMerged?: string;
  /** Stages what was merged, after what is restored. */
  readonly stage?: (view: StagedView) => Promise<void> | void;
}

export interface KeepingLocal {
  readonly view: StagedView;
  readonly reading: HistoryReading;
  readonly journal: Journal;
}

/** Says what becomes of a path. */
export async function keepLocal(
  { path, witness, target }: LocalPath,
  keeping: KeepingLocal,
): Promise<KeptLocal> {
  if (target === undefined) return { path, outcome: 'kept', isSpared: true };
  const found = await keeping.view.found(path);
  const decision = decideUndo({ witness, target, found }, { merges: true, forces: false });
  switch (decision.do) {
    case 'nothing':
      return { path, outcome: isSameImage(found, target) ? 'unchanged' : 'kept', isSpared: true };
    case 'conflict':
      return { path, outcome: 'kept', isSpared: true, notMerged: decision.why };
    case 'merge':
      return merge(path, decision, keeping);
    case 'restore':
    case 'set-mode': {
      // As the transaction left it by now: it goes back like any other.
      if (decision.why !== 'merged') return { path, outcome: 'restored', isSpared: false };
      const mode = decision.do === 'set-mode' ? decision.mode : modeOf(decision.image);
      const isSpared = decision.do === 'set-mode';
      return { path, outcome: 'merged', isSpared, stage: (view) => view.restoreMode(path, mode) };
    }
  }
}

async function merge(
  path: RelativePath,
  { base, theirs, mode }: Extract<UndoDecision, { do: 'merge' }>,
  { view, reading, journal }: KeepingLocal,
): Promise<KeptLocal> {
  const read = (image: FileImage): Promise<Uint8Array | undefined> =>
    readKept(image, placesOf(image.sha256, path, journal), reading);
  const kept = { path, outcome: 'kept', isSpared: true } as const;
  const [before, after] = [await read(theirs), await read(base)];
  const ours = await view.read(path);
  if (before === undefined || after === undefined || ours === undefined) {
    const which = after === undefined ? 'as the newest transaction left it' : 'as it was then';
    return { ...kept, notMerged: `its content ${which} is not in history` };
  }
  const merged = mergeTexts({ base: after, ours, theirs: before });
  if (merged.kind === 'conflict') return { ...kept, notMerged: merged.why };
  const { bytes } = merged;
  return { ...kept, outcome: 'merged', stage: (staged) => staged.write(path, bytes, mode) };
}

function modeOf(image: Image): number {
  assert(image.kind === 'file', 'only files are merged');
  return image.mode;
}

/** Returns what could not be merged. */
export function unmergedOf(local: readonly KeptLocal[]): readonly PathConflict[] {
  return local.flatMap(({ path, notMerged: why }) => (why === undefined ? [] : [{ path, why }]));
}
