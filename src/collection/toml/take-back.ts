import { mergeParts } from '../../engine/index.js';
import { addressOf, type ArtifactKey } from '../artifact.js';
import type { Piece, Pieces } from './pieces.js';

/*
 * Taking back what one transaction did to a file that later ones changed as well: for each piece that it
 * changed, the lines of before come back, if the piece still is what the transaction left. All other
 * pieces stay where and as they are, byte for byte; one that comes back stands where it stood, after what
 * stood before it.
 */

/** How to take back. */
export interface TakingBack {
  /** Whether lines that were changed since are merged. */
  readonly merges: boolean;
  /** Whether they give way. */
  readonly forces: boolean;
  /** Only what is about these artifacts. Default: all. */
  readonly keys?: ReadonlySet<ArtifactKey> | undefined;
}

export interface TakenBack {
  readonly text: string;
  /** What is in the way, and why. */
  readonly conflicts: readonly string[];
  /** Whether something gave way. */
  readonly isForced: boolean;
}

/** Two versions of a file: before a transaction, and as it left it. */
export interface BeforeAndAfter<T> {
  readonly before: T;
  readonly after: T;
}

/** Takes back in `now` what became of `before`. Blank lines after a piece are no part of it. Pure. */
export function takeBack(
  now: Pieces,
  { before, after }: BeforeAndAfter<Pieces>,
  terms: TakingBack,
): TakenBack {
  const [then, left, found] = [named(before), named(after), named(now)];
  const wanted = new Map<string, string | undefined>();
  const conflicts: string[] = [];
  let isForced = false;
  for (const name of new Set([...then.keys(), ...left.keys()])) {
    const piece = then.get(name) ?? left.get(name);
    const was = lines(then, name);
    const three = { before: was, after: lines(left, name), now: lines(found, name) };
    if (piece === undefined || was === three.after || was === three.now) continue;
    if (!isMeant(piece, terms)) continue;
    const isKept = three.now === three.after;
    const merged = terms.merges && !isKept ? mergeLines(three) : undefined;
    if (isKept) wanted.set(name, was);
    else if (merged !== undefined) wanted.set(name, merged);
    else if (terms.forces) {
      wanted.set(name, was);
      isForced = true;
    } else conflicts.push(`${describe(piece)} is not as the transaction left it`);
  }
  return { text: assemble(now, { found, wanted, order: [...then.keys()] }), conflicts, isForced };
}

function isMeant({ key }: Piece, { keys }: TakingBack): boolean {
  return keys === undefined || (key !== undefined && keys.has(key));
}

/** Gives each piece a name that it keeps from version to version. */
function named({ all }: Pieces): ReadonlyMap<string, Piece> {
  const counts = new Map<string, number>();
  return new Map(
    all.map((piece) => {
      const name = piece.key ?? JSON.stringify(piece.path);
      const count = counts.get(name) ?? 0;
      counts.set(name, count + 1);
      return [`${String(count)} ${name}`, piece] as const;
    }),
  );
}

function lines(pieces: ReadonlyMap<string, Piece>, name: string): string | undefined {
  return pieces.get(name)?.text.trimEnd();
}

/** @returns `undefined` where that cannot be done. */
function mergeLines({
  before,
  after,
  now,
}: Readonly<Record<'before' | 'after' | 'now', string | undefined>>): string | undefined {
  if (before === undefined || after === undefined || now === undefined) return undefined;
  const texts = { base: bytesOf(after), ours: bytesOf(now), theirs: bytesOf(before) };
  const parts = mergeParts(texts);
  if (typeof parts === 'string') return undefined;
  const agreed: string[] = [];
  for (const part of parts) {
    if (part.kind === 'conflict') return undefined;
    agreed.push(...part.lines);
  }
  return agreed.join('').trimEnd();
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(`${text}\n`);
}

function describe({ key, path }: Piece): string {
  if (key !== undefined) return addressOf(key);
  return path.length === 0 ? 'what stands before the first table' : `[${path.join('.')}]`;
}

/** Lines, and the blank ones after them. */
interface Stretch {
  readonly lines: string;
  readonly gap: string;
}

/** Puts the text together: `wanted` lines instead of what was found, `undefined` for none. */
function assemble(
  now: Pieces,
  {
    found,
    wanted,
    order,
  }: {
    readonly found: ReadonlyMap<string, Piece>;
    readonly wanted: ReadonlyMap<string, string | undefined>;
    /** Names of the pieces of before, as they stood. */
    readonly order: readonly string[];
  },
): string {
  const blank = now.lineBreak + now.lineBreak;
  const returning = placesOf({ found, wanted, order });
  const end = stretchOf(now.all.at(-1)?.text ?? '');
  const stretches: Stretch[] = [];
  const pushReturning = (anchor: string | undefined): void => {
    for (const text of returning.get(anchor) ?? []) stretches.push({ lines: text, gap: blank });
  };
  pushReturning(undefined);
  let at = 0;
  for (const [name, { text }] of found) {
    const { lines: own, gap } = stretchOf(text);
    const isLast = (at += 1) === found.size;
    // What stood at the end of the file may lack the blank line that others have after them.
    const between = isLast && !gap.includes(blank) ? blank : gap;
    const kept = wanted.has(name) ? wanted.get(name) : own;
    if (kept !== undefined) stretches.push({ lines: kept, gap: between });
    pushReturning(name);
  }
  const last = stretches.length - 1;
  return stretches.map((one, place) => one.lines + (place === last ? end.gap : one.gap)).join('');
}

function stretchOf(text: string): Stretch {
  const own = text.trimEnd();
  return { lines: own, gap: text.slice(own.length) };
}

/** The lines that come back, by the name of the piece that they stand after. */
function placesOf({
  found,
  wanted,
  order,
}: {
  readonly found: ReadonlyMap<string, Piece>;
  readonly wanted: ReadonlyMap<string, string | undefined>;
  readonly order: readonly string[];
}): ReadonlyMap<string | undefined, readonly string[]> {
  const returning = new Map<string | undefined, string[]>();
  const [first] = found;
  // Before what stands before the first table nothing can.
  let anchor = first?.[1].path.length === 0 ? first[0] : undefined;
  for (const name of order) {
    const text = wanted.get(name);
    if (found.has(name)) anchor = name;
    else if (text !== undefined) {
      const after = returning.get(anchor) ?? [];
      after.push(text);
      returning.set(anchor, after);
    }
  }
  return returning;
}
