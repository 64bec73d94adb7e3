import type { Annotations } from './annotations.js';
import type { Collected } from './commit.js';
import { assert, EngineError, isEngineError, type PathConflict } from './errors.js';
import { type HistoryReading, notToBeHad, placesOf, readKept } from './history.js';
import { type FileImage, type FoundImage, isSameContent, isSameImage } from './image.js';
import type { Journal } from './journal.js';
import { isBelow, quote, type RelativePath } from './path.js';
import type { Change } from './receipt.js';
import { refuseLargeRemoval } from './removal-size.js';
import type { StagedView } from './staged-view.js';
import { mergeTexts, type TextMerge } from './text-merge.js';
import { decideUndo, type UndoDecision, type UndoTerms } from './undo-decision.js';
import type { UndoneRow } from './undo-rows.js';

/*
 * Undoing one transaction or several, as the operations of another one:
 *
 * 1. Decide for each path that they changed, by what is there now (undo-decision.ts). A file that was
 *    changed since, and whose parts the caller knows, is undone part by part. Nothing is staged before
 *    every conflict is known.
 * 2. Refuse a directory that would go with something in it that they did not make.
 * 3. Restore, parents first, with the bytes that were displaced, hashed while copied; from a snapshot
 *    where no slot has them.
 * 4. When the plan is made: refuse it if it would remove what step 1 has not seen, or too much.
 *
 * Slots are copied, never moved: the history stays whole, and this undo can be undone in turn.
 */

/** What became of one path. */
export interface UndonePath {
  readonly path: string;
  readonly outcome:
    | 'restored'
    | 'merged'
    /** What another program or a later transaction left there is now in history. */
    | 'overwritten'
    /** What is there was left alone: it came later, and nothing has to give way to it. */
    | 'kept'
    /** It was already as it was before. */
    | 'unchanged'
    /** It is in the way; only a dry run of a rollback gets that far. */
    | 'conflict';
}

/** A file that was changed since. */
export interface PartedFile {
  /** As it was before the transaction; `undefined` where it was not there. */
  readonly before: Uint8Array | undefined;
  /** As the transaction left it. */
  readonly after: Uint8Array;
  readonly now: Uint8Array;
}

export type PartsUndone =
  /** Nothing is left to undo. */
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'undone';
      readonly bytes: Uint8Array;
      /** Whether a part gave way that the transaction had not left so. */
      readonly isForced: boolean;
    }
  | {
      readonly kind: 'conflict';
      /** A reason for each part that is in the way. */
      readonly whys: readonly string[];
    };

/** Takes back, part by part, what a transaction did to a file that was changed since. Pure. */
export type UndoParts = (file: PartedFile, terms: UndoTerms) => PartsUndone;

/** What the caller knows of certain paths. */
export interface KnownParts {
  /** By the path of the file. */
  readonly parts: ReadonlyMap<string, UndoParts>;
  /** Whether only some parts are meant: then such a file is never undone as a whole. */
  readonly choosesParts: boolean;
  /** Directories that stay when they should go and hold what nobody expected. */
  readonly sharedDirectories: ReadonlySet<string>;
}

export const noParts: KnownParts = {
  parts: new Map(),
  choosesParts: false,
  sharedDirectories: new Set(),
};

/** What is undone, on which terms, and how to speak of it. */
export interface UndoRequest extends UndoTerms, KnownParts {
  /** Parents first. */
  readonly rows: readonly UndoneRow[];
  /** Whether a directory that should go stays when it holds what nobody expected. */
  readonly keepsUnknown: boolean;
  /** Whether what nobody expected goes with its directory, and however much is removed. */
  readonly removesAll: boolean;
  /** Whether conflicts are told instead of thrown; then nothing is staged. */
  readonly tellsConflicts: boolean;
  readonly message: string;
  readonly annotations: Annotations;
  readonly words: UndoWords;
}

interface UndoWords {
  /** As in `transaction 5 cannot be undone`. */
  readonly refusal: string;
  /** Of what lies in a directory that should go: `which the transaction did not put there`. */
  readonly unknown: string;
  readonly conflictHint: string;
  readonly damagedHint: string;
}

export interface Undone {
  readonly paths: readonly UndonePath[];
  /** Empty unless the request tells them. */
  readonly conflicts: readonly PathConflict[];
}

/** Conflicts for which the log is searched. */
const reasonsMax = 20;

type Decision =
  | Exclude<UndoDecision, { readonly do: 'merge' }>
  | {
      readonly do: 'write';
      readonly bytes: Uint8Array;
      readonly mode: number;
      readonly why: 'merged' | 'forced';
    }
  | { readonly do: 'refuse'; readonly whys: readonly string[] };

interface Step {
  readonly row: UndoneRow;
  readonly found: FoundImage;
  decision: Decision;
}

/** Stages the undo. @throws {EngineError} `UNDO_CONFLICT`, `HISTORY_DAMAGED`. */
export async function stageUndo(
  request: UndoRequest,
  view: StagedView,
  using: { readonly journal: Journal; readonly reading: HistoryReading },
): Promise<Undone> {
  return new Undo(request, view, using).stage();
}

/** What the transaction that undoes says of itself, and what it must not do. */
export function collectUndo(
  { message, annotations, removesAll }: UndoRequest,
  { paths }: Undone,
): Collected {
  const known = new Set(paths.map(({ path }) => path));
  return {
    message,
    annotations,
    review: async (changes, looking) => {
      if (removesAll) return undefined;
      refuseUnknown(changes, known);
      return refuseLargeRemoval(changes, looking);
    },
  };
}

class Undo {
  readonly #request: UndoRequest;
  readonly #view: StagedView;
  readonly #journal: Journal;
  readonly #reading: HistoryReading;
  readonly #conflicts: PathConflict[] = [];
  /** What an object or a pack said that is damaged, of the path that is being restored. */
  #whyNot: string | undefined;

  constructor(
    request: UndoRequest,
    view: StagedView,
    { journal, reading }: { readonly journal: Journal; readonly reading: HistoryReading },
  ) {
    this.#request = request;
    this.#view = view;
    this.#journal = journal;
    this.#reading = reading;
  }

  async stage(): Promise<Undone> {
    const steps = await this.#decide();
    const outcomes = {
      paths: steps.map((step) => ({ path: step.row.path, outcome: outcomeOf(step) })),
      conflicts: this.#conflicts,
    };
    if (this.#conflicts.length > 0) {
      if (this.#request.tellsConflicts) return outcomes;
      throw this.#conflict();
    }
    const damaged: PathConflict[] = [];
    let replaced: RelativePath | undefined;
    for (const { row, decision } of steps) {
      // It went with its directory.
      if (replaced !== undefined && isBelow(row.path, replaced)) {
        if (row.target.kind === 'absent') continue;
      } else replaced = undefined;
      if (!(await this.#act(row, decision))) {
        const why = this.#whyNot ?? 'history does not have what was there, or no longer as it was';
        damaged.push({ path: row.path, why });
      }
      const isReplaced = decision.do === 'restore' && decision.image.kind !== 'directory';
      if (isReplaced) replaced = row.path;
    }
    this.#refuseDamaged(damaged);
    return outcomes;
  }

  async #decide(): Promise<readonly Step[]> {
    const { pace } = this.#reading.looking;
    const steps: Step[] = [];
    for (const row of this.#request.rows) {
      if (pace.isDue()) await pace.turn();
      const found = await this.#view.found(row.path);
      steps.push({ row, found, decision: await this.#decideRow(row, found) });
    }
    this.#keepUnknown(steps);
    for (const { row, decision } of steps) {
      const { path } = row;
      if (decision.do === 'refuse') {
        for (const why of decision.whys) this.#conflicts.push({ path, why });
      } else if (decision.do === 'conflict') {
        this.#conflicts.push({ path, why: `${decision.why} (${this.#changedSince(row)})` });
      }
    }
    return steps;
  }

  async #decideRow(row: UndoneRow, found: FoundImage): Promise<Decision> {
    const inParts = await this.#undoParts(row, found);
    if (inParts !== undefined) return inParts;
    const decision = decideUndo({ ...row, found }, this.#request);
    return decision.do === 'merge' ? this.#merge(row, decision) : decision;
  }

  /** @returns `undefined` where the file is undone as a whole. */
  async #undoParts(row: UndoneRow, found: FoundImage): Promise<Decision | undefined> {
    const { path, target, witness } = row;
    const { parts, choosesParts, forces } = this.#request;
    const undoParts = parts.get(path);
    if (undoParts === undefined || found.kind !== 'file' || witness.kind !== 'file') {
      return undefined;
    }
    const isUnchanged = isSameContent(found, witness) || isSameContent(found, target);
    if (isUnchanged && !choosesParts) return undefined;
    const undone = await this.#undoContents(row, { witness, found, undoParts });
    switch (undone.kind) {
      case 'nothing':
        return { do: 'nothing' };
      case 'conflict':
        return forces && !choosesParts ? undefined : { do: 'refuse', whys: undone.whys };
      case 'undone': {
        const { bytes, isForced } = undone;
        return { do: 'write', bytes, mode: found.mode, why: isForced ? 'forced' : 'merged' };
      }
    }
  }

  async #undoContents(
    row: UndoneRow,
    {
      witness,
      found,
      undoParts,
    }: {
      readonly witness: FileImage;
      readonly found: FileImage;
      readonly undoParts: UndoParts;
    },
  ): Promise<PartsUndone> {
    const { path, target } = row;
    const before = target.kind === 'file' ? await this.#readBefore(row, target) : undefined;
    const now = await this.#view.read(path);
    // As it is there now, history need not have it.
    const after = isSameContent(found, witness) ? now : await this.#readAfter(path, witness);
    const isComplete = target.kind === 'absent' || before !== undefined;
    if (!isComplete || after === undefined || now === undefined) {
      return { kind: 'conflict', whys: [notInHistory(after)] };
    }
    return undoParts({ before, after, now }, this.#request);
  }

  #changedSince({ path, leftBy }: UndoneRow): string {
    // Looking for it costs a search of the log; nobody reads hundreds of reasons.
    if (this.#conflicts.length >= reasonsMax) return 'changed since';
    const [newest] = this.#journal.logOf(path, 1, Number.MAX_SAFE_INTEGER);
    const isLater = newest !== undefined && newest.id > leftBy;
    return isLater
      ? `transaction ${String(newest.id)} changed it since`
      : 'another program changed it since';
  }

  async #merge(
    row: UndoneRow,
    decision: Extract<UndoDecision, { do: 'merge' }>,
  ): Promise<Decision> {
    const merged = await this.#mergeContents(row, decision);
    if (merged.kind === 'merged') {
      return { do: 'write', bytes: merged.bytes, mode: decision.mode, why: 'merged' };
    }
    const { forces } = this.#request;
    if (forces) return { do: 'restore', image: row.target, why: 'forced' };
    return { do: 'conflict', why: `it cannot be merged: ${merged.why}` };
  }

  async #mergeContents(
    row: UndoneRow,
    { base, theirs }: Extract<UndoDecision, { do: 'merge' }>,
  ): Promise<TextMerge> {
    const { path } = row;
    const before = await this.#readBefore(row, theirs);
    const after = await this.#readAfter(path, base);
    const ours = await this.#view.read(path);
    if (before === undefined || after === undefined || ours === undefined) {
      return { kind: 'conflict', why: notInHistory(after) };
    }
    return mergeTexts({ base: after, ours, theirs: before });
  }

  #readBefore({ path, keptAt }: UndoneRow, image: FileImage): Promise<Uint8Array | undefined> {
    const own = keptAt === undefined ? [] : [keptAt];
    const places = chain(own, placesOf(image.sha256, path, this.#journal));
    return readKept(image, places, this.#reading);
  }

  #readAfter(path: RelativePath, image: FileImage): Promise<Uint8Array | undefined> {
    return readKept(image, placesOf(image.sha256, path, this.#journal), this.#reading);
  }

  /** A directory that shall go may hold what nobody expected. */
  #keepUnknown(steps: readonly Step[]): void {
    const known = new Set(steps.map(({ row }) => row.path));
    const kept = new Set<RelativePath>();
    for (const step of steps.toReversed()) {
      const { row, found, decision } = step;
      // A later one put it there, or a person: it is not taken along with its directory.
      if (decision.do === 'nothing' && found.kind !== 'absent') kept.add(row.path);
      if (decision.do !== 'restore' || decision.image.kind === 'directory') continue;
      if (found.kind !== 'directory') continue;
      const unknown = (this.#view.list(row.path) ?? [])
        .map(({ name }) => `${row.path}/${name}` as RelativePath)
        .filter((path) => !known.has(path) || kept.has(path));
      const [first] = unknown;
      if (first === undefined) continue;
      const { keepsUnknown, sharedDirectories, removesAll, words } = this.#request;
      const stays = keepsUnknown || sharedDirectories.has(row.path);
      if (stays && decision.image.kind === 'absent') {
        kept.add(row.path);
        step.decision = { do: 'nothing' };
      } else if (removesAll) step.decision = { ...decision, why: 'forced' };
      else {
        const why = `it holds ${quote(first)}, ${words.unknown}`;
        step.decision = { do: 'conflict', why };
      }
    }
  }

  /** @returns false when history does not hold the content. */
  async #act({ path, keptAt }: UndoneRow, decision: Decision): Promise<boolean> {
    switch (decision.do) {
      case 'nothing':
      case 'conflict':
      case 'refuse':
        return true;
      case 'set-mode':
        this.#view.restoreMode(path, decision.mode);
        return true;
      case 'write':
        await this.#view.write(path, decision.bytes, decision.mode);
        return true;
      case 'restore': {
        const { image } = decision;
        if (keptAt !== undefined && (await this.#view.restore(path, image, keptAt))) return true;
        if (image.kind !== 'file') return this.#view.restore(path, image, undefined);
        for (const place of placesOf(image.sha256, path, this.#journal)) {
          if (await this.#view.restore(path, image, place)) return true;
        }
        return this.#restoreFromSnapshot(path, image, keptAt);
      }
    }
  }

  /** It is packed; or another program wrote over it, and a snapshot has it. */
  async #restoreFromSnapshot(
    path: RelativePath,
    image: FileImage,
    slot: RelativePath | undefined,
  ): Promise<boolean> {
    const { objects } = this.#reading;
    this.#whyNot = undefined;
    if (!objects.has(image.sha256)) return false;
    try {
      const content = await objects.content(image.sha256, image.size);
      return await this.#view.restoreContent(path, image, { content, slot });
    } catch (error) {
      if (!isEngineError(error, ...notToBeHad)) throw error;
      this.#whyNot = error.message;
      return false;
    }
  }

  #conflict(): EngineError {
    const [first] = this.#conflicts;
    const { refusal, conflictHint: hint } = this.#request.words;
    assert(first !== undefined, 'a refusal has a conflict');
    return new EngineError('UNDO_CONFLICT', `${refusal}: ${describe(this.#conflicts, first)}`, {
      path: first.path,
      conflicts: this.#conflicts,
      hint,
    });
  }

  #refuseDamaged(damaged: readonly PathConflict[]): void {
    const [first] = damaged;
    // guard: undo-damaged [if true]
    if (first === undefined) return;
    const { refusal, damagedHint: hint } = this.#request.words;
    throw new EngineError('HISTORY_DAMAGED', `${refusal}: ${describe(damaged, first)}`, {
      path: first.path,
      conflicts: damaged,
      hint,
    });
  }
}

/** Tells why the first of some paths is in the way, and how many more there are. */
function describe({ length }: readonly PathConflict[], { path, why }: PathConflict): string {
  const rest = length === 1 ? '' : ` (and ${String(length - 1)} more)`;
  return `${quote(path)}: ${why}${rest}`;
}

/** Something came into a directory after it was looked at. @throws {EngineError} `DRIFT_DETECTED`. */
function refuseUnknown(changes: readonly Change[], known: ReadonlySet<string>): void {
  const unknown = changes.find(({ path, after }) => after.kind === 'absent' && !known.has(path));
  // guard: undo-unknown [if true]
  if (unknown === undefined) return;
  const { path } = unknown;
  throw new EngineError('DRIFT_DETECTED', `${quote(path)} appeared while this was prepared`, {
    path,
    hint: 'Another program writes there; try again.',
  });
}

function notInHistory(after: Uint8Array | undefined): string {
  const which = after === undefined ? 'as the transaction left it' : 'as it was before';
  return `its content ${which} is not in history`;
}

const outcomeFor = { witnessed: 'restored', merged: 'merged', forced: 'overwritten' } as const;

function outcomeOf({ row, found, decision }: Step): UndonePath['outcome'] {
  switch (decision.do) {
    case 'nothing':
      return isSameImage(found, row.target) ? 'unchanged' : 'kept';
    case 'conflict':
    case 'refuse':
      return 'conflict';
    case 'restore':
    case 'set-mode':
    case 'write':
      return outcomeFor[decision.why];
  }
}

function* chain<T>(...parts: readonly Iterable<T>[]): Generator<T, void> {
  for (const part of parts) yield* part;
}
