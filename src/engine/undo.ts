import { parseAnnotations } from './annotations.js';
import type { Collected } from './commit.js';
import { EngineError, type PathConflict } from './errors.js';
import {
  type DisplacedRow,
  displacedRows,
  type HistoryReading,
  placesOf,
  readKept,
} from './history.js';
import { type FoundImage, isSameImage } from './image.js';
import type { Journal, TransactionRow } from './journal.js';
import { comparePaths, isBelow, quote, type RelativePath } from './path.js';
import type { Change } from './receipt.js';
import { refuseLargeRemoval } from './removal-size.js';
import type { StagedView } from './staged-view.js';
import { mergeTexts, type TextMerge } from './text-merge.js';
import { decideUndo, type UndoDecision, type UndoTerms } from './undo-decision.js';

/*
 * Undoing a transaction, as the operations of another one:
 *
 * 1. Decide for each path that it changed, by what is there now (undo-decision.ts). Nothing is
 *    staged before every conflict is known.
 * 2. Refuse a directory that would go with something in it that the transaction did not make.
 * 3. Restore, parents first, with the bytes that the transaction displaced, hashed while copied.
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
    /** It was already as it was before the transaction. */
    | 'unchanged';
}

export interface UndoRequest extends UndoTerms {
  readonly transaction: TransactionRow;
  /** Only these and what is below them. */
  readonly paths: readonly RelativePath[] | undefined;
}

/** Conflicts for which the log is searched. */
const reasonsMax = 20;

interface Step {
  readonly row: DisplacedRow;
  readonly found: FoundImage;
  decision: UndoDecision;
}

/** Stages the undo. @throws {EngineError} `UNDO_CONFLICT`, `HISTORY_DAMAGED`, `PATH_NOT_FOUND`. */
export async function stageUndo(
  request: UndoRequest,
  view: StagedView,
  using: { readonly journal: Journal; readonly reading: HistoryReading },
): Promise<readonly UndonePath[]> {
  return new Undo(request, view, using).stage();
}

/** What the transaction that undoes says of itself, and what it must not do. */
export function collectUndo(
  { transaction, paths, forces }: UndoRequest,
  undone: readonly UndonePath[],
): Collected {
  const { id } = transaction;
  const known = new Set(undone.map(({ path }) => path));
  return {
    message: messageFor(transaction),
    annotations: { undoes: id, ...(paths !== undefined && { paths }) },
    review: async (changes, looking) => {
      if (forces) return;
      refuseUnknown(changes, known);
      await refuseLargeRemoval(changes, looking);
    },
  };
}

/** `undo 5: install canvas`, then `redo 5: install canvas`, and so on. */
function messageFor({ id, message, annotations }: TransactionRow): string {
  const [subject = ''] = message.split('\n', 1);
  const [, verb, rest = ''] = /^(undo|redo) (\d.*)$/.exec(subject) ?? [];
  const isUndo = parseAnnotations(annotations).undoes !== undefined;
  if (isUndo && verb !== undefined) return `${verb === 'undo' ? 'redo' : 'undo'} ${rest}`;
  return `undo ${String(id)}${subject === '' ? '' : `: ${subject}`}`;
}

class Undo {
  readonly #request: UndoRequest;
  readonly #view: StagedView;
  readonly #journal: Journal;
  readonly #reading: HistoryReading;
  readonly #conflicts: PathConflict[] = [];
  readonly #merged = new Map<RelativePath, Uint8Array>();

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

  async stage(): Promise<readonly UndonePath[]> {
    const steps = await this.#decide();
    this.#refuseConflicts();
    const damaged: PathConflict[] = [];
    let replaced: RelativePath | undefined;
    for (const { row, decision } of steps) {
      // It went with its directory.
      if (replaced !== undefined && isBelow(row.path, replaced)) {
        if (row.before.kind === 'absent') continue;
      } else replaced = undefined;
      if (!(await this.#act(row, decision))) {
        damaged.push({ path: row.path, why: 'history does not hold what was there' });
      }
      const isReplaced = decision.do === 'restore' && decision.image.kind !== 'directory';
      if (isReplaced) replaced = row.path;
    }
    this.#refuseDamaged(damaged);
    return steps.map(({ row: { path }, decision }) => ({ path, outcome: outcomeOf(decision) }));
  }

  async #decide(): Promise<readonly Step[]> {
    const rows = this.#chosenRows();
    const { pace } = this.#reading.looking;
    const steps: Step[] = [];
    for (const row of rows) {
      if (pace.isDue()) await pace.turn();
      const found = await this.#view.found(row.path);
      const state = { witness: row.after, target: row.before, found };
      let decision = decideUndo(state, this.#request);
      if (decision.do === 'merge') decision = await this.#merge(row, decision);
      steps.push({ row, found, decision });
    }
    this.#keepUnknown(steps);
    for (const { row, decision } of steps) {
      if (decision.do !== 'conflict') continue;
      const why = `${decision.why} (${this.#changedSince(row.path)})`;
      this.#conflicts.push({ path: row.path, why });
    }
    return steps;
  }

  #changedSince(path: RelativePath): string {
    // Looking for it costs a search of the log; nobody reads hundreds of reasons.
    if (this.#conflicts.length >= reasonsMax) return 'changed since';
    const [newest] = this.#journal.logOf(path, 1, Number.MAX_SAFE_INTEGER);
    const isLater = newest !== undefined && newest.id > this.#request.transaction.id;
    return isLater
      ? `transaction ${String(newest.id)} changed it since`
      : 'another program changed it since';
  }

  /** Rows that change something, parents first, with the directories that chosen paths need. */
  #chosenRows(): readonly DisplacedRow[] {
    const { transaction, paths } = this.#request;
    const rows = displacedRows(transaction, this.#journal.changes(transaction.id))
      .filter(({ before, after }) => !isSameImage(before, after))
      .toSorted((a, b) => comparePaths(a.path, b.path));
    if (paths === undefined) return rows;
    for (const path of paths) {
      if (rows.some((row) => isAtOrBelow(row.path, path))) continue;
      throw new EngineError(
        'PATH_NOT_FOUND',
        `transaction ${String(transaction.id)} changed nothing at ${quote(path)}`,
        { path, hint: `See what it changed: skillmeat txn show ${String(transaction.id)}` },
      );
    }
    return rows.filter(
      (row) =>
        paths.some((path) => isAtOrBelow(row.path, path)) ||
        (row.before.kind === 'directory' &&
          row.after.kind !== 'directory' &&
          paths.some((path) => isBelow(path, row.path))),
    );
  }

  async #merge(
    row: DisplacedRow,
    decision: Extract<UndoDecision, { do: 'merge' }>,
  ): Promise<UndoDecision> {
    const { path } = row;
    const merged = await this.#mergeContents(row, decision);
    if (merged.kind === 'merged') {
      this.#merged.set(path, merged.bytes);
      return decision;
    }
    const { forces } = this.#request;
    if (forces) return { do: 'restore', image: row.before, why: 'forced' };
    return { do: 'conflict', why: `it cannot be merged: ${merged.why}` };
  }

  async #mergeContents(
    { path, keptAt }: DisplacedRow,
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

  /** A directory that shall go may hold what the transaction did not put there. */
  #keepUnknown(steps: readonly Step[]): void {
    const known = new Set(steps.map(({ row }) => row.path));
    const kept = new Set<RelativePath>();
    for (const step of steps.toReversed()) {
      const { row, found, decision } = step;
      if (decision.do !== 'restore' || decision.image.kind === 'directory') continue;
      if (found.kind !== 'directory') continue;
      const unknown = (this.#view.list(row.path) ?? [])
        .map(({ name }) => `${row.path}/${name}` as RelativePath)
        .filter((path) => !known.has(path) || kept.has(path));
      const [first] = unknown;
      if (first === undefined) continue;
      const { merges, forces } = this.#request;
      if (merges && decision.image.kind === 'absent') {
        kept.add(row.path);
        step.decision = { do: 'nothing' };
      } else if (forces) step.decision = { ...decision, why: 'forced' };
      else {
        const why = `it holds ${quote(first)}, which the transaction did not put there`;
        step.decision = { do: 'conflict', why };
      }
    }
  }

  /** @returns false when history does not hold the content. */
  async #act({ path, keptAt }: DisplacedRow, decision: UndoDecision): Promise<boolean> {
    switch (decision.do) {
      case 'nothing':
      case 'conflict':
        return true;
      case 'set-mode':
        this.#view.restoreMode(path, decision.mode);
        return true;
      case 'merge':
        await this.#view.write(path, this.#merged.get(path) ?? '', decision.mode);
        return true;
      case 'restore': {
        const { image } = decision;
        if (keptAt !== undefined && (await this.#view.restore(path, image, keptAt))) return true;
        if (image.kind !== 'file') return this.#view.restore(path, image, undefined);
        for (const place of placesOf(image.sha256, path, this.#journal)) {
          if (await this.#view.restore(path, image, place)) return true;
        }
        return false;
      }
    }
  }

  #refuseConflicts(): void {
    const [first] = this.#conflicts;
    if (first === undefined) return;
    const { transaction, merges } = this.#request;
    const others = this.#conflicts.length - 1;
    const rest = others === 0 ? '' : ` (and ${String(others)} more)`;
    throw new EngineError(
      'UNDO_CONFLICT',
      `transaction ${String(transaction.id)} cannot be undone: ${quote(first.path)}: ${first.why}${rest}`,
      {
        path: first.path,
        conflicts: this.#conflicts,
        hint: merges
          ? 'Choose the other paths, or overwrite with --force: what is there now stays in history.'
          : 'Choose other paths, merge with --merge, or overwrite with --force: what is there now stays in history.',
      },
    );
  }

  #refuseDamaged(damaged: readonly PathConflict[]): void {
    const [first] = damaged;
    if (first === undefined) return;
    const id = String(this.#request.transaction.id);
    throw new EngineError(
      'HISTORY_DAMAGED',
      `transaction ${id} cannot be undone: what was at ${quote(first.path)} before it is not in history, or no longer what it was (${String(damaged.length)} such paths)`,
      {
        path: first.path,
        conflicts: damaged,
        hint: `Choose the other paths of it: skillmeat txn show ${id}`,
      },
    );
  }
}

/** Something came into a directory after it was looked at. @throws {EngineError} `DRIFT_DETECTED`. */
function refuseUnknown(changes: readonly Change[], known: ReadonlySet<string>): void {
  const unknown = changes.find(({ path, after }) => after.kind === 'absent' && !known.has(path));
  if (unknown === undefined) return;
  const { path } = unknown;
  throw new EngineError('DRIFT_DETECTED', `${quote(path)} appeared while the undo was prepared`, {
    path,
    hint: 'Another program writes there; try again.',
  });
}

const outcomeFor = { witnessed: 'restored', merged: 'merged', forced: 'overwritten' } as const;

function outcomeOf(decision: UndoDecision): UndonePath['outcome'] {
  switch (decision.do) {
    case 'nothing':
    case 'conflict':
      return 'unchanged';
    case 'merge':
      return 'merged';
    case 'restore':
    case 'set-mode':
      return outcomeFor[decision.why];
  }
}

function isAtOrBelow(path: RelativePath, top: RelativePath): boolean {
  return path === top || isBelow(path, top);
}

function* chain<T>(...parts: readonly Iterable<T>[]): Generator<T, void> {
  for (const part of parts) yield* part;
}
