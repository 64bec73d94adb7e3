import { apply } from './apply.js';
import { type Annotations, formatAnnotations } from './annotations.js';
import { arrange, type ArrangedUnit } from './arrange.js';
import type { CompressionLevel } from './compression.js';
import { EngineError, fromSystemError, fromSystemErrorOnly, isEngineError } from './errors.js';
import { publish } from './events.js';
import { describeImage, type FoundImage } from './image.js';
import type { Journal } from './journal.js';
import { stagePrefix, type TransactionRow } from './transaction-row.js';
import type { Turn } from './group.js';
import { messageLengthMax } from './limits.js';
import type { ObjectStore } from './object-store.js';
import { Pace } from './pace.js';
import { isBelow, quote, type RelativePath } from './path.js';
import { buildPlan, type Plan, refuseMounts } from './plan.js';
import type { Expectation } from './plan-document.js';
import { type Change, type Receipt, toChanges, toRecord, unmarked } from './receipt.js';
import type { LookingAtRoot } from './removal-size.js';
import { RootTree } from './root-tree.js';
import { requireRules, type Rule } from './rules.js';
import { StagedContents } from './staged-content.js';
import { StagedView } from './staged-view.js';
import type { StoreDirectory } from './store-directory.js';
import { readableView, TransactionCalls } from './transaction.js';
import { toRows } from './units.js';
import type { Session, Writer } from './writer.js';

/*
 * One transaction, from the caller's operations to the receipt. The writer has taken the lock and
 * recovered.
 *
 * 1. Collect: operations act on the staged view; new contents go to stage/<number>-<random>/.
 * 2. Plan: reduce the view to images, witness the before-images, ask the rules (I6).
 * 3. Arrange: links, whole directories, owners, attributes, modes. Everything that can fail for
 *    want of room or rights has failed by now, and nothing of the root was touched.
 * 4. Record: one journal transaction names every change, not synced yet.
 * 5. Flush: one barrier puts contents and record on disk, those of others that wait and may share
 *    it, too (group.ts). From here on recovery finishes it (I1, I2). A record that got there without
 *    its contents was flushed by nobody: see `unflushed.ts`.
 *    Plain Node syncs the contents, then the record.
 * 6. Say in `owner` that the journal has it. Apply: one rename per unit; each displaced file is
 *    looked at (I3).
 * 7. Acknowledge. The displaced files stay in the stage directory: they are the history.
 *
 * A failure before 4 removes the stage directory. One in 5 takes the record back. One in 6 undoes
 * what was done.
 */

export interface CommitOptions {
  readonly message: string;
  readonly isDryRun: boolean;
  readonly rules: readonly Rule[];
  readonly expectations: ReadonlyMap<RelativePath, Expectation>;
  readonly signal: AbortSignal | undefined;
}

/** What the operations of a transaction know of it only when they have run. */
export interface Collected {
  readonly message?: string | undefined;
  readonly annotations?: Annotations;
  /** Looks at what would change, and throws if that must not be. */
  readonly review?: (
    changes: readonly Change[],
    looking: LookingAtRoot,
  ) => Promise<string | undefined>;
}

export interface Committing {
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly writer: Writer;
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly newId: () => string;
  /** The contents of snapshots. */
  /** @param level instead of the store's. */
  readonly openObjects: (level?: CompressionLevel) => ObjectStore;
  /** Who works with the store, for the log. */
  readonly by: string | undefined;
  readonly fileMode: number;
  readonly directoryMode: number;
}

export type Collect = (calls: TransactionCalls) => Promise<Collected | void>;

/** Runs one transaction under the lock. @throws {EngineError} of nearly every code. */
export async function commit(
  options: CommitOptions,
  committing: Committing,
  { session, turn }: { readonly session: Session; readonly turn: Turn },
  collect: Collect,
): Promise<Receipt> {
  requireMessage(options.message);
  const { files, root, stage } = committing.directory;
  const uuid = committing.newId();
  const pace = new Pace(options.signal);
  using tree = new RootTree(files, root, turn.coverFrom(stage));
  using history = new RootTree(files, stage);
  using objects = committing.openObjects();
  const id = session.head.id + 1;
  const prefix = stagePrefix(id, uuid, turn.firstFor(id));
  const contents = new StagedContents({ files, pace, directory: stage, prefix });
  const attempt = new Attempt({
    options,
    committing,
    session,
    turn,
    contents,
    tree,
    history,
    objects,
    pace,
    uuid,
  });
  try {
    return await attempt.run(collect);
  } catch (error) {
    pace.stop();
    await attempt.calls?.abandon();
    // Once the journal may name them, the contents are no longer ours to remove. Unless recovery would
    // find in the cache what the disk may not have.
    const mayRemove = !attempt.mayBeCommitted || turn.isTakenBack || turn.mustNotBeFound;
    if (mayRemove && !(await contents.removeAll())) {
      committing.writer.leaveForSweep();
    }
    // What the callback threw is the caller's and comes out as it is.
    if (error === attempt.thrown) throw error;
    throw fromSystemErrorOnly(error, 'work on', committing.directory.rootPath);
  }
}

interface AttemptOptions {
  readonly options: CommitOptions;
  readonly committing: Committing;
  readonly session: Session;
  readonly turn: Turn;
  readonly contents: StagedContents;
  readonly tree: RootTree;
  readonly history: RootTree;
  readonly objects: ObjectStore;
  readonly pace: Pace;
  readonly uuid: string;
}

class Attempt {
  readonly #given: AttemptOptions;
  mayBeCommitted = false;
  /** Calls of the caller, which may still be running when the callback has failed. */
  calls: TransactionCalls | undefined;
  /** What the callback threw. */
  thrown: unknown;
  #phase: 'stage' | 'plan' = 'stage';
  #message: string;
  #annotations: Annotations;
  #needsForce: string | undefined;

  constructor(given: AttemptOptions) {
    this.#given = given;
    this.#message = given.options.message;
    const { by } = given.committing;
    this.#annotations = by === undefined ? {} : { by };
  }

  async run(collect: Collect): Promise<Receipt> {
    const { committing, contents, options, pace, tree, history, objects, turn } = this.#given;
    const { directory, fileMode, directoryMode, now } = committing;
    const { files, foldsNames } = directory;
    const looking = { files, pace };
    pace.onTurn = (): void => {
      const { rootPath: at } = directory;
      publish('skillmeat:progress', { root: at, ...this.#progress(), total: undefined });
    };
    const engineDirectory = directory.store;
    const modes = { fileMode, directoryMode };
    const trees = { tree, history };
    const own = { contents, engineDirectory };
    const view = new StagedView({ looking, ...trees, ...own, ...modes, foldsNames });
    await requireExpectations(options.expectations, view);
    const calls = new TransactionCalls(view, {
      ...looking,
      history,
      objects,
      enginePath: directory.storePath,
      rootPath: directory.rootPath,
      group: {
        isAwaited: () => turn.isAwaited,
        end: () => this.#endGroup(),
      },
    });
    this.calls = calls;
    const collecting = collect(calls).catch((error: unknown) => {
      this.thrown = error;
      throw error;
    });
    if (turn.isAwaited) void calls.endGroupWhenIdle(collecting);
    const collected =
      (await (options.signal === undefined ? collecting : pace.orStopped(collecting))) ?? {};
    this.#message = collected.message ?? options.message;
    requireMessage(this.#message);
    await calls.finish();
    const { label } = calls;
    this.#annotations = {
      ...this.#annotations,
      ...collected.annotations,
      ...(label !== undefined && { label }),
    };
    pace.refuseStopped();
    this.#phase = 'plan';
    // guard: group-below
    if (this.#isBlind(view)) await this.#endGroup();
    const plan = await buildPlan(view, { looking, tree, now });
    refuseMounts(plan, files.mountsBelow(directory.root));
    const members = plan.units.flatMap((unit) => unit.members);
    const changes = toChanges(members);
    await requireRules(options.rules, readableView(view), changes);
    const { isDryRun } = options;
    this.#needsForce = await collected.review?.(changes, { looking, tree, isDryRun });
    this.#refuseTroubled(plan);
    const units = await arrange(plan, { looking, tree, contents });
    if (isDryRun || units.length === 0) return this.#leave(plan, units);
    return this.#commit(plan, units);
  }

  /** Whether planning would look at all that is below a directory, and miss what was recorded. */
  #isBlind(view: StagedView): boolean {
    return [...view.nodes].some(([path, node]) => {
      const changesOnlyItself = node.kind === 'directory' && !node.isOpaque;
      return !changesOnlyItself && this.#given.turn.isBlindBelow(path);
    });
  }

  /** What was recorded is applied now: places that were got before are not those of it any more. */
  async #endGroup(): Promise<void> {
    const { tree, turn } = this.#given;
    if (!turn.isAwaited) return;
    try {
      await turn.endGroup();
    } finally {
      tree.close();
    }
  }

  #progress(): { readonly phase: 'stage' | 'plan'; readonly done: number } {
    return { phase: this.#phase, done: this.#given.contents.count };
  }

  /** Ends without a transaction: nothing would change, or nobody wants it to. */
  async #leave(plan: Plan, units: readonly ArrangedUnit[]): Promise<Receipt> {
    const { committing, contents } = this.#given;
    if (!(await contents.removeAll())) committing.writer.leaveForSweep();
    if (units.length === 0) return { transaction: null };
    return {
      transaction: {
        id: null,
        uuid: null,
        state: 'planned',
        message: this.#message,
        committedAt: null,
        changeCount: plan.changeCount,
        reason: null,
        annotations: this.#annotations,
        changes: toChanges(toRows(units)),
        superseded: [],
        ...unmarked,
      },
      ...(this.#needsForce !== undefined && { needsForce: this.#needsForce }),
    };
  }

  async #commit(plan: Plan, units: readonly ArrangedUnit[]): Promise<Receipt> {
    const { committing, contents, session, pace, turn, uuid } = this.#given;
    const { journal, writer, bootId } = committing;
    const isOneFlush = committing.directory.files.capabilities.barrier === 'syncfs';
    // guard: commit-flush-before-record
    if (!isOneFlush) await writer.flush(contents.bytes);
    const rows = toRows(units);
    // guard: group-excludes
    if (turn.isExcluded(rows)) await this.#endGroup();
    pace.refuseStopped();
    // guard: commit-in-place
    session.requireInPlace();
    // guard: group-recordable
    turn.requireRecordable();
    this.#publish('staged', undefined, plan);
    this.mayBeCommitted = true;
    const transaction = {
      uuid,
      stage: contents.prefix,
      // SQLite would store half a character as another one, and the chain hash would not match.
      message: this.#message.toWellFormed(),
      committedAt: committing.now(),
      bootId,
      changeCount: plan.changeCount,
      displacedBytes: plan.displacedBytes,
      flush: !isOneFlush ? 'before' : turn.isAwaited ? 'shared' : 'with',
      annotations: formatAnnotations(this.#annotations),
    } as const;
    let head;
    try {
      const { epoch, head: previous } = session;
      head = journal.commit(transaction, rows, { epoch, head: previous });
    } catch (error) {
      this.mayBeCommitted = isEngineError(error, 'COMMIT_UNKNOWN');
      throw error;
    }
    writer.noteCommit(head, rows.length, plan.displacedBytes);
    const recorded = { id: head.id, stage: contents.prefix, rows, bytes: contents.bytes };
    if (isOneFlush) {
      // guard: commit-flush-with-record
      await turn.flushed(recorded);
    } else {
      // guard: owner-names-committed
      writer.noteFlushed();
    }
    this.#publish('committed', head.id, plan);
    await this.#apply(units, head.id, plan);
    this.#publish('applied', head.id, plan);
    const row: TransactionRow = {
      ...transaction,
      id: head.id,
      chain: head.chain,
      rowCount: rows.length,
      state: 'committed',
      trouble: undefined,
      reason: undefined,
    };
    return { transaction: toRecord(row, rows) };
  }

  async #apply(units: readonly ArrangedUnit[], id: number, plan: Plan): Promise<void> {
    const { committing, contents, session } = this.#given;
    const { files, root, rootPath } = committing.directory;
    // A transaction that is committed is not stopped any more: no signal here.
    const looking = { files, pace: new Pace() };
    using tree = new RootTree(files, root);
    try {
      // guard: group-fence
      if (this.#given.turn.isShared) session.requireFence();
      await apply(units, {
        looking,
        tree,
        contents,
        requireFence: session.requireFence,
        onProgress: (done) => {
          const total = plan.changeCount;
          publish('skillmeat:progress', { root: rootPath, phase: 'apply', done, total });
        },
      });
    } catch (error) {
      // guard: undo-fence
      this.#requireStillOurs(id, error);
      if (!(error instanceof EngineError)) throw this.#halfDone(id, error);
      await this.#undo(id, error, plan);
      throw error;
    }
  }

  /** I4: what another writer has taken over is no longer this one's to undo. */
  #requireStillOurs(id: number, error: unknown): void {
    try {
      if (isEngineError(error, 'FENCED', 'STORE_REPLACED')) throw error;
      // guard: undo-fence-asked
      this.#given.session.requireFence();
    } catch (lost) {
      // A disk that cannot even be asked has not been taken over.
      if (!isEngineError(lost, 'FENCED', 'STORE_REPLACED')) return;
      const failure = new EngineError(
        lost.code,
        `transaction ${String(id)} is committed, but before all of it was applied: ${lost.message}`,
        {
          cause: lost,
          hint: 'Open the store again: that finishes it. Without its .skillmeat, compare the directory with a backup.',
        },
      );
      this.#given.committing.writer.poisonWith(failure);
      throw failure;
    }
  }

  #halfDone(id: number, cause: unknown): EngineError {
    const { rootPath } = this.#given.committing.directory;
    const { message } = fromSystemError(cause, 'change', rootPath);
    const failure = new EngineError(
      'BLOCKED',
      `transaction ${String(id)} is committed and half applied: ${message}`,
      { cause, hint: 'Open the store again; that finishes it. Or run: skillmeat txn recover' },
    );
    this.#given.committing.writer.poisonWith(failure);
    return failure;
  }

  async #undo(id: number, cause: EngineError, plan: Plan): Promise<void> {
    const { writer } = this.#given.committing;
    let left;
    try {
      left = await writer.undo(id, cause.message, this.#given.turn.dependents());
    } catch (error) {
      throw this.#halfDone(id, error);
    }
    if (left === undefined) {
      this.#publish('rolled-back', id, plan);
      return;
    }
    throw new EngineError(
      'BLOCKED',
      `transaction ${String(id)} is half done: applying it failed (${cause.message}), and it cannot be undone yet: ${left}`,
      {
        cause,
        path: cause.path,
        hint: `Remove what is in the way, then run: skillmeat txn recover --undo ${String(id)}`,
      },
    );
  }

  /** A path of a transaction that is not settled either way is nobody's to change. */
  #refuseTroubled(plan: Plan): void {
    const { session, turn } = this.#given;
    if (!session.isTroubled && !turn.hasFailures) return;
    const { journal } = this.#given.committing;
    for (const { id, trouble, reason = 'the journal does not say why' } of journal.troubled()) {
      // guard: commit-damaged [if false]
      if (trouble === 'damaged') {
        throw new EngineError(
          'DAMAGED',
          `the store is read-only: transaction ${String(id)} is damaged: ${reason}`,
          { hint: `Look at it with: skillmeat txn show ${String(id)}` },
        );
      }
      const taken = journal.changes(id).map(({ path }) => path);
      const path = plan.units.map((unit) => unit.path).find((unit) => overlaps(unit, taken));
      if (path === undefined) continue;
      throw new EngineError(
        'BLOCKED',
        `${quote(path)} belongs to transaction ${String(id)}, which is blocked: ${reason}`,
        { path, hint: `Remove what is in the way, then run: skillmeat txn recover` },
      );
    }
  }

  #publish(
    phase: 'staged' | 'committed' | 'applied' | 'rolled-back',
    id: number | undefined,
    { changeCount }: Plan,
  ): void {
    const root = this.#given.committing.directory.rootPath;
    const message = this.#message;
    publish('skillmeat:transaction', { root, phase, id, message, changes: changeCount });
  }
}

function overlaps(path: RelativePath, others: readonly RelativePath[]): boolean {
  return others.some((other) => other === path || isBelow(other, path) || isBelow(path, other));
}

/** @throws {EngineError} `LIMIT_EXCEEDED`. */
export function requireMessage(message: string): void {
  if (typeof message !== 'string') throw new TypeError('message must be a string');
  if (message.length <= messageLengthMax && !message.includes('\0')) return;
  throw new EngineError(
    'LIMIT_EXCEEDED',
    `the message has ${String(message.length)} characters, at most ${String(messageLengthMax)} without NUL are allowed`,
    { hint: 'Shorten the message.' },
  );
}

async function requireExpectations(
  expectations: ReadonlyMap<RelativePath, Expectation>,
  view: StagedView,
): Promise<void> {
  const failed: string[] = [];
  let first: RelativePath | undefined;
  for (const [path, expected] of expectations) {
    const found = await view.onDisk(path);
    if (isExpected(found, expected)) continue;
    first ??= path;
    failed.push(
      `${quote(path)} should be ${describeExpectation(expected)} and is ${describeImage(found)}`,
    );
  }
  // guard: commit-expectations [if true]
  if (first === undefined) return;
  throw new EngineError('EXPECTATION_FAILED', failed.join('; '), {
    path: first,
    hint: 'The directory changed since the plan was made: make the plan anew.',
  });
}

function isExpected(found: FoundImage, expected: Expectation): boolean {
  switch (expected.kind) {
    case 'absent':
    case 'directory':
      return found.kind === expected.kind;
    case 'file':
      return found.kind === 'file' && found.sha256 === expected.sha256;
    case 'symlink':
      return found.kind === 'symlink' && found.target === expected.target;
  }
}

function describeExpectation(expected: Expectation): string {
  switch (expected.kind) {
    case 'absent':
      return 'absent';
    case 'directory':
      return 'a directory';
    case 'file':
      return `a file (sha256:${expected.sha256})`;
    case 'symlink':
      return `a link to ${quote(expected.target)}`;
  }
}
