import type { Annotations } from './annotations.js';
import type { Collected } from './commit.js';
import { assert, EngineError, isEngineError, type PathConflict } from './errors.js';
import { type HistoryReading, notToBeHad, placesOf, readKept } from './history.js';
import { type FileImage, type FoundImage, isSameImage } from './image.js';
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
 * 1. Decide for each path that they changed, by what is there now (undo-decision.ts). Nothing is
 *    staged before every conflict is known.
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

/** What is undone, on which terms, and how to speak of it. */
export interface UndoRequest extends UndoTerms {
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

interface Step {
  readonly row: UndoneRow;
  readonly found: FoundImage;
  decision: UndoDecision;
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
  readonly #merged = new Map<RelativePath, Uint8Array>();
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
      let decision = decideUndo({ ...row, found }, this.#request);
      if (decision.do === 'merge') decision = await this.#merge(row, decision);
      steps.push({ row, found, decision });
    }
    this.#keepUnknown(steps);
    for (const { row, decision } of steps) {
      if (decision.do !== 'conflict') continue;
      const why = `${decision.why} (${this.#changedSince(row)})`;
      this.#conflicts.push({ path: row.path, why });
    }
    return steps;
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
  ): Promise<UndoDecision> {
    const { path } = row;
    const merged = await this.#mergeContents(row, decision);
    if (merged.kind === 'merged') {
      this.#merged.set(path, merged.bytes);
      return decision;
    }
    const { forces } = this.#request;
    if (forces) return { do: 'restore', image: row.target, why: 'forced' };
    return { do: 'conflict', why: `it cannot be merged: ${merged.why}` };
  }

  async #mergeContents(
    { path, keptAt }: UndoneRow,
    { base, theirs }: Extract<UndoDecision, { do: 'merge' }>,
  ): Promise<TextMerge> {
    const own = keptAt === undefined ? [] : [keptAt];
    const [before, after] = [
      await readKept(
        theirs,
        chain(own, placesOf(theirs.sha256, path, this.#journal)),
        this.#reading,
      ),
      await readKept(base, placesOf(base.sha256, path, this.#journal), this.#reading),
    ];
    const ours = await this.#view.read(path);
    if (before === undefined || after === undefined || ours === undefined) {
      const which = after === undefined ? 'as the transaction left it' : 'as it was before';
      return { kind: 'conflict', why: `its content ${which} is not in history` };
    }
    return mergeTexts({ base: after, ours, theirs: before });
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
      const { keepsUnknown, removesAll, words } = this.#request;
      if (keepsUnknown && decision.image.kind === 'absent') {
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
  async #act({ path, keptAt }: UndoneRow, decision: UndoDecision): Promise<boolean> {
    switch (decision.do) {
      case 'nothing':
      case 'conflict':
        return true;
      case 'set-mode':
        this.#view.restoreMode(path, decision.mode);
        return true;
      case 'merge':
        await this.#view.write(path, this.#mergedAt(path), decision.mode);
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

  #mergedAt(path: RelativePath): Uint8Array {
    const bytes = this.#merged.get(path);
    assert(bytes !== undefined, 'what is written was merged');
    return bytes;
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

const outcomeFor = { witnessed: 'restored', merged: 'merged', forced: 'overwritten' } as const;

function outcomeOf({ row, found, decision }: Step): UndonePath['outcome'] {
  switch (decision.do) {
    case 'nothing':
      return isSameImage(found, row.target) ? 'unchanged' : 'kept';
    case 'conflict':
      return 'conflict';
    case 'merge':
      return 'merged';
    case 'restore':
    case 'set-mode':
      return outcomeFor[decision.why];
  }
}

function* chain<T>(...parts: readonly Iterable<T>[]): Generator<T, void> {
  for (const part of parts) yield* part;
}
