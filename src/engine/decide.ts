import { assert } from './errors.js';
import { type FoundImage, type Image, isSameImage } from './image.js';

/*
 * What recovery does with one path. Pure, and tested over all its inputs.
 *
 * A path's hops are the unsettled moves that concern it, in the order in which they happened: each
 * took it from one image to another by switching it with a slot in the stage directory. A redone
 * transaction hops from before to after, an undone one back. The last hop's `to` is the target.
 *
 * The slot tells whether a hop was done: it holds `to` until then and `from` afterwards.
 */

/** `pending`: the slot holds `to`; `done`: it holds `from`; `lost`: neither; `none`: no slot. */
export type Evidence = 'pending' | 'done' | 'lost' | 'none';

export interface Hop {
  readonly from: Image;
  readonly to: Image;
  readonly evidence: Evidence;
  /** What the slot holds, where that is known: it may be the image of another hop. */
  readonly holds?: FoundImage | undefined;
}

/** Why a committed path does not get its image. */
type Supersession = 'edited' | 'deleted' | 'type changed';

export type Decision =
  /** The path is what it shall be. */
  | { readonly do: 'nothing' }
  /** Do the hops from this one on, one after the other. */
  | { readonly do: 'advance'; readonly from: number }
  /** Hops are out of order: bring in the image that lies in the slot of hop `source`. */
  | { readonly do: 'place'; readonly source: number | undefined }
  /** Somebody else's bytes are there and stay; the image in the slot of `kept` is set aside. */
  | { readonly do: 'supersede'; readonly why: Supersession; readonly kept: number | undefined }
  /** The image that shall be there is nowhere. */
  | { readonly do: 'park' };

/**
 * | found at the path | slots say | decision | because |
 * | --- | --- | --- | --- |
 * | the target | — | nothing | applied, or changed to the same |
 * | where the done hops lead | the rest pending | advance | the crash came before the rest |
 * | another image of the chain | target in a slot | place | renames reached the disk out of order |
 * | another image of the chain | all hops done, in order | supersede | changed back by hand afterwards |
 * | another image of the chain | target nowhere | park | bytes are damaged: evidence is kept |
 * | absent, never so in the chain | — | supersede `deleted` | a foreign delete wins (I3) |
 * | unknown, same type | — | supersede `edited` | a foreign edit wins (I3) |
 * | another type | — | supersede `type changed` | never traversed, never deleted |
 */
export function decide(found: FoundImage, hops: readonly Hop[]): Decision {
  const target = hops.at(-1)?.to;
  if (target === undefined || isSameImage(found, target)) return { do: 'nothing' };
  const done = countDone(found, hops);
  const rest = hops.slice(done);
  const isCanonical = rest.every(({ evidence }) => evidence === 'pending' || evidence === 'none');
  if (rest.length > 0 && isCanonical && isSameImage(found, imageAfter(done, hops))) {
    return { do: 'advance', from: done };
  }
  const last = hops.length - 1;
  const kept = rest.length > 0 && hops[last]?.evidence === 'pending' ? last : undefined;
  const isKnown = hops.some(({ from, to }) => isSameImage(found, from) || isSameImage(found, to));
  if (!isKnown) return { do: 'supersede', why: supersession(found, target, hops), kept };
  const isInOrder = hops
    .slice(0, done)
    .every(({ evidence }) => evidence !== 'pending' && evidence !== 'lost');
  if (rest.length === 0 && isInOrder) {
    return { do: 'supersede', why: supersession(found, target, hops), kept };
  }
  if (target.kind === 'absent') return { do: 'place', source: undefined };
  const source = hops.findLastIndex((hop) => holdsImage(hop, target));
  if (source >= 0) return { do: 'place', source };
  // With the last hop done, the target was in place, and somebody has replaced it.
  if (rest.length > 0) return { do: 'park' };
  return { do: 'supersede', why: supersession(found, target, hops), kept };
}

function holdsImage({ from, to, evidence, holds }: Hop, image: Image): boolean {
  if (holds !== undefined) return isSameImage(holds, image);
  if (evidence === 'pending') return isSameImage(to, image);
  return evidence === 'done' && isSameImage(from, image);
}

/**
 * How many hops were done: up to the last one whose slot says so, and further over hops without a
 * slot (a change of mode) when the path shows it.
 */
function countDone(found: FoundImage, hops: readonly Hop[]): number {
  let done = hops.findLastIndex(({ evidence }) => evidence === 'done') + 1;
  for (let next = done; hops[next]?.evidence === 'none'; next += 1) {
    if (isSameImage(found, imageAfter(next + 1, hops))) done = next + 1;
  }
  return done;
}

function imageAfter(done: number, hops: readonly Hop[]): Image {
  const before = done === 0 ? hops[0]?.from : hops[done - 1]?.to;
  assert(before !== undefined, 'a path has hops');
  return before;
}

function supersession(found: FoundImage, target: Image, hops: readonly Hop[]): Supersession {
  if (found.kind === 'absent') return 'deleted';
  const kinds = new Set([target.kind, ...hops.map(({ from }) => from.kind)]);
  return found.kind !== 'special' && kinds.has(found.kind) ? 'edited' : 'type changed';
}
