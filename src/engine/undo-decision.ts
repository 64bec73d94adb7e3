import {
  describeImage,
  type FileImage,
  type FoundImage,
  type Image,
  isSameContent,
  isSameImage,
} from './image.js';

/** One path that is being undone. */
export interface UndoneState {
  /** What the transaction, or the newest of several, left. */
  readonly witness: Image;
  /** What was there before it, or before the first of several. */
  readonly target: Image;
  /** What is there now. */
  readonly found: FoundImage;
}

export interface UndoTerms {
  /** Whether what both sides changed may be merged. */
  readonly merges: boolean;
  /** Whether the target wins over what nobody expected. */
  readonly forces: boolean;
}

export type UndoDecision =
  | { readonly do: 'nothing' }
  | {
      readonly do: 'restore';
      readonly image: Image;
      readonly why: 'witnessed' | 'merged' | 'forced';
    }
  | {
      readonly do: 'set-mode';
      readonly mode: number;
      readonly why: 'witnessed' | 'merged' | 'forced';
    }
  | {
      readonly do: 'merge';
      readonly base: FileImage;
      readonly theirs: FileImage;
      readonly mode: number;
    }
  | { readonly do: 'conflict'; readonly why: string };

/** Says what undoing does to one path. Pure. */
export function decideUndo(state: UndoneState, { merges, forces }: UndoTerms): UndoDecision {
  const { witness, target, found } = state;
  if (isSameImage(found, target)) return { do: 'nothing' };
  if (found.kind === 'special') return conflict(state);
  if (isSameImage(found, witness)) return reach(target, found, 'witnessed');
  const merged = merges ? merge(state) : conflict(state);
  return merged.do === 'conflict' && forces ? reach(target, found, 'forced') : merged;
}

function reach(
  image: Image,
  found: FoundImage,
  why: 'witnessed' | 'merged' | 'forced',
): UndoDecision {
  const hasMode = image.kind === 'file' || image.kind === 'directory';
  if (!hasMode || !isSameContent(image, found)) return { do: 'restore', image, why };
  return isSameImage(image, found) ? { do: 'nothing' } : { do: 'set-mode', mode: image.mode, why };
}

/** Mode and content each by themselves: whoever alone changed it wins. */
function merge(state: UndoneState): UndoDecision {
  const { witness: base, target: theirs, found: ours } = state;
  if (isSameImage(base, theirs)) return { do: 'nothing' };
  // Of directories there is only the mode, and where one side alone changed it nobody asks.
  if (base.kind !== 'file' || theirs.kind !== 'file' || ours.kind !== 'file') {
    return conflict(state);
  }
  const mode = mergeMode(base.mode, ours.mode, theirs.mode);
  if (mode === undefined) return conflict(state);
  if (isSameContent(ours, base)) return reach({ ...theirs, mode }, ours, 'merged');
  const isOnlyOurs = isSameContent(theirs, base) || isSameContent(ours, theirs);
  return isOnlyOurs
    ? reach({ ...ours, mode }, ours, 'merged')
    : { do: 'merge', base, theirs, mode };
}

function mergeMode(base: number, ours: number, theirs: number): number | undefined {
  if (ours === base || ours === theirs) return theirs;
  return theirs === base ? ours : undefined;
}

function conflict({ witness, found }: UndoneState): UndoDecision {
  return {
    do: 'conflict',
    why: `it was left as ${describeImage(witness)} and is ${describeImage(found)}`,
  };
}
