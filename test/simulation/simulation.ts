import {
  isEngineError,
  openStore,
  type Receipt,
  type Store,
  type TransactionRecord,
} from '../../src/engine/index.js';
import { hashContent } from '../../src/engine/hash.js';
import { systemError } from '../support/faults.js';
import type { Moment } from './crash-states.js';
import { engineName, type Fixture, rootPath } from './fixture.js';
import { contentsOf } from './images.js';
import { type Disk, topInode } from './inodes.js';
import { JournalDisk, listenTo } from './journal-disk.js';
import { Machine } from './machine.js';
import type { Profile } from './profiles.js';
import { SimulatedFileSystem } from './simulated-file-system.js';
import { Violation } from './violation.js';
import {
  type Action,
  type ForeignEdit,
  run,
  type Together,
  type Transact,
  type Workload,
} from './workload.js';

/** What happens while a transaction runs. */
type Trouble = Partial<Omit<Transact, 'do' | 'operations'>>;

/** How a transaction ended for its caller, by the message that it has in the log. */
type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** A moment of a workload, with what its callers and the other programs knew by then. */
export interface KnownMoment extends Moment {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Paths that other programs have changed so far. */
  readonly edited: ReadonlySet<string>;
  /** Inodes that other programs have written to so far. */
  readonly foreignInodes: ReadonlySet<number>;
  /** Whether the disk has failed to write something. */
  readonly hasFailedSync: boolean;
}

/** Tells whether a content is what another program wrote, and all of it. */
export function isForeign(text: string): boolean {
  return /^foreign \d+ of \S+ to the end$/.test(text);
}

export interface OpenSimulation {
  readonly machine: Machine;
  readonly journal: JournalDisk;
  readonly fileSystem: SimulatedFileSystem;
  open(): Promise<Store>;
}

/** Brings a machine up with what is on its disk. Only one at a time may use `directory`. */
export function startMachine(
  profile: Profile,
  { disk, journal: bytes }: Fixture,
  { directory, boot }: { readonly directory: string; readonly boot: number },
): OpenSimulation {
  const machine = new Machine(profile, disk, boot);
  const journal = new JournalDisk(directory, bytes);
  const fileSystem = new SimulatedFileSystem(machine, journal);
  journal.onSync = () => {
    machine.noteJournalSync();
  };
  let count = 0;
  const newId = (): string => {
    count += 1;
    return `${String(boot)}${count.toString(16)}`.padStart(8, '0');
  };
  const now = (): number => machine.now();
  return {
    machine,
    journal,
    fileSystem,
    open: () => openStore(rootPath, { fileSystem, now, newId }),
  };
}

/** Runs a workload on a fresh machine. @returns every moment of it. */
export async function record(
  profile: Profile,
  workload: Workload,
  given: { readonly fixture: Fixture; readonly directory: string },
): Promise<readonly KnownMoment[]> {
  const started = startMachine(profile, given.fixture, { directory: given.directory, boot: 1 });
  return listenTo(started.journal, () => new Recording(started).run(workload.actions));
}

class Recording {
  readonly #simulation: OpenSimulation;
  readonly #moments: KnownMoment[] = [];
  readonly #edited = new Set<string>();
  readonly #foreignInodes = new Set<number>();
  #outcomes: ReadonlyMap<string, Outcome> = new Map();
  #editsToCome: ForeignEdit[] = [];
  /** Inodes that other programs opened before the transaction. */
  readonly #oldDescriptors = new Map<ForeignEdit, number>();
  #steps = 0;
  /** What other programs wrote to the root, by its path, since the transaction began. */
  #editsOfTransaction: string[] = [];
  #editCount = 0;
  /** Whether another program is at work, which may destroy its own bytes. */
  #isEditing = false;
  #foreign: ReadonlySet<string> = new Set();

  constructor(simulation: OpenSimulation) {
    this.#simulation = simulation;
    const onStep = (call: string): void => {
      this.#step(call);
    };
    simulation.machine.onStep = onStep;
    simulation.journal.onStep = onStep;
  }

  async run(actions: readonly Action[]): Promise<readonly KnownMoment[]> {
    let store = await this.#simulation.open();
    try {
      for (const [n, action] of actions.entries()) {
        switch (action.do) {
          case 'transact':
            await this.#commit(action, `transaction ${String(n)}`, (message) =>
              store.transact({ message }, async (tx) => {
                for (const operation of action.operations) await run(tx, operation);
              }),
            );
            break;
          case 'together':
            await this.#commitTogether(action, n, store);
            break;
          case 'undo':
          case 'redo': {
            const { do: kind, edits } = action;
            await this.#commit({ edits }, `${kind} ${String(n)}`, (message) =>
              store[kind]({ message, force: true }),
            );
            break;
          }
          case 'edit':
            this.#edit(action.edit);
            break;
          case 'recover':
            await recoverIfHealthy(store);
            break;
          case 'reopen':
            await store.close();
            store = await this.#reopen();
        }
      }
    } finally {
      await store.close();
    }
    return this.#moments;
  }

  /** A failed write of the journal's log that nobody was told of is told to who opens it next, once. */
  async #reopen(): Promise<Store> {
    const { journal } = this.#simulation;
    const { owesFailure } = journal;
    try {
      return await this.#simulation.open();
    } catch (error) {
      if (!owesFailure || journal.owesFailure || !isEngineError(error, 'IO_FAILED')) throw error;
      return this.#simulation.open();
    }
  }

  async #commit(
    trouble: Trouble,
    message: string,
    act: (message: string) => Promise<Receipt>,
  ): Promise<void> {
    await this.#amid(trouble, async () => {
      const acknowledged = await this.#outcomeOf(message, act);
      if (acknowledged !== undefined) this.#requireKnownDisplaced(acknowledged.changes);
    });
  }

  /** All at once: those behind the first wait for the lock together. */
  async #commitTogether(
    { transactions, ...trouble }: Together,
    number: number,
    store: Store,
  ): Promise<void> {
    await this.#amid(trouble, async () => {
      const records = await Promise.all(
        transactions.map((operations, n) =>
          this.#outcomeOf(`group ${String(number)}.${String(n)}`, (message) =>
            store.transact({ message, sharesFlush: true }, async (tx) => {
              for (const operation of operations) await run(tx, operation);
            }),
          ),
        ),
      );
      this.#requireKnownDisplaced(records.flatMap((one) => one?.changes ?? []));
    });
  }

  async #amid(trouble: Trouble, act: () => Promise<void>): Promise<void> {
    const { machine, fileSystem } = this.#simulation;
    this.#begin(trouble);
    try {
      await act();
    } finally {
      this.#editsToCome = [];
      fileSystem.beforeSwitch = () => undefined;
      machine.beforeSync = () => undefined;
      machine.held.clear();
    }
  }

  /** @returns the transaction, when it is acknowledged. */
  async #outcomeOf(
    message: string,
    act: (message: string) => Promise<Receipt>,
  ): Promise<TransactionRecord | undefined> {
    let outcome: Outcome = 'acknowledged';
    let acknowledged: TransactionRecord | undefined;
    try {
      const receipt = await act(message);
      if (receipt.transaction === null) return undefined;
      acknowledged = receipt.transaction;
    } catch (error) {
      if (!isEngineError(error)) throw error;
      outcome = isEngineError(error, 'BLOCKED', 'COMMIT_UNKNOWN') ? 'unknown' : 'refused';
    }
    this.#outcomes = new Map([...this.#outcomes, [message, outcome]]);
    this.#step('return');
    return acknowledged;
  }

  /** I3: what a transaction displaced is what it had seen; else it is refused. */
  #requireKnownDisplaced(changes: TransactionRecord['changes']): void {
    const { visible } = this.#simulation.machine;
    const contents = contentsOf(visible);
    for (const text of this.#editsOfTransaction) {
      // A copy that a refused transaction had staged is no displaced file.
      const found = contents.filter(
        (content) => content.text === text && this.#foreignInodes.has(content.inode),
      );
      const isDisplaced = found.length > 0 && !found.some(({ isInRoot }) => isInRoot);
      const hash = hashContent(text);
      const isKnown = changes.some(
        ({ before }) => before.kind === 'file' && before.sha256 === hash,
      );
      if (isDisplaced && !isKnown) throw new Violation(`displaced unseen: ${text}`);
    }
  }

  #begin({ edits = [], failingSwitch = 0, failingSync = 0, held }: Trouble): void {
    const { machine, fileSystem, journal } = this.#simulation;
    this.#steps = 0;
    this.#editsOfTransaction = [];
    this.#editsToCome = [...edits];
    for (const edit of edits) {
      const opened = this.#find(edit.path);
      if (opened !== undefined) this.#oldDescriptors.set(edit, opened);
    }
    const heldInode = held === undefined ? undefined : this.#find(held);
    if (heldInode !== undefined) machine.held.add(heldInode);
    let switches = 0;
    fileSystem.beforeSwitch = ({ directory }) => {
      if (Number(directory.inode) === this.#find(`${engineName}/quarantine`)) return;
      switches += 1;
      if (switches === failingSwitch) throw systemError('EACCES');
    };
    let syncs = 0;
    machine.beforeSync = () => {
      syncs += 1;
      if (syncs !== failingSync) return;
      machine.failWriteBack();
      journal.failWriteBack();
    };
  }

  #step(call: string): void {
    const { machine, journal } = this.#simulation;
    this.#requireForeignBytes(call);
    this.#moments.push({
      call,
      boot: machine.boot,
      disk: machine.afterCrash(),
      journals: journal.afterCrash(),
      outcomes: this.#outcomes,
      edited: new Set(this.#edited),
      foreignInodes: new Set(this.#foreignInodes),
      hasFailedSync: machine.failureCount > 0,
    });
    if (this.#isEditing) return;
    this.#steps += 1;
    const due = this.#editsToCome.filter(({ afterSteps }) => afterSteps <= this.#steps);
    this.#editsToCome = this.#editsToCome.filter((edit) => !due.includes(edit));
    for (const edit of due) this.#edit(edit);
  }

  /** I3, in the living process: only another program may make another program's bytes go away. */
  #requireForeignBytes(call: string): void {
    if (this.#edited.size === 0) return;
    const contents = contentsOf(this.#simulation.machine.visible).filter(({ text }) =>
      isForeign(text),
    );
    const there = new Set(contents.map(({ text }) => text));
    const lost = [...this.#foreign].filter((text) => !there.has(text));
    if (lost.length > 0 && !this.#isEditing) {
      throw new Violation(`${call} lost bytes of another program: ${lost.join(', ')}`);
    }
    // A copy that was being staged is nobody's once its author has overwritten the original.
    const isOwned = ({ text, inode, isInRoot }: (typeof contents)[number]): boolean =>
      isInRoot || this.#foreignInodes.has(inode) || (!this.#isEditing && this.#foreign.has(text));
    this.#foreign = new Set(contents.filter(isOwned).map(({ text }) => text));
  }

  // --- other programs ----------------------------------------------------------------------

  #edit(edit: ForeignEdit): void {
    this.#edited.add(edit.path).add(`${edit.path}~`);
    this.#isEditing = true;
    try {
      this.#editNow(edit);
    } finally {
      this.#isEditing = false;
    }
  }

  #editNow(edit: ForeignEdit): void {
    const { machine } = this.#simulation;
    const [parent = '', name = ''] = edit.path.split('/');
    const directory = this.#find(parent);
    // The editor finds the directory gone, and gives up.
    if (directory === undefined || machine.inode(directory).kind !== 'directory') return;
    const at = { directory, name };
    const inode = machine.find(at)?.inode;
    const kind = inode === undefined ? undefined : machine.inode(inode).kind;
    if (kind !== undefined && kind !== 'file') return;
    this.#editCount += 1;
    const text = `foreign ${String(this.#editCount)} of ${edit.path} to the end`;
    const bytes = Buffer.from(text);
    if (edit.how === 'in place' || edit.how === 'by rename') this.#editsOfTransaction.push(text);
    switch (edit.how) {
      case 'in place':
        this.#write(inode ?? machine.makeFile(at, 0o644), bytes);
        return;
      case 'by rename': {
        const temporary = { directory, name: `${name}~` };
        this.#write(machine.makeFile(temporary, 0o644), bytes);
        machine.rename(temporary, at);
        return;
      }
      case 'delete':
        if (inode !== undefined) machine.removeFile(at);
        return;
      case 'through an old descriptor': {
        const opened = this.#oldDescriptors.get(edit);
        if (opened !== undefined && machine.inode(opened).kind === 'file') {
          this.#write(opened, bytes);
        }
      }
    }
  }

  #write(inode: number, bytes: Buffer): void {
    this.#foreignInodes.add(inode);
    this.#simulation.machine.setBytes(inode, bytes);
  }

  /** The inode at a path below the root. */
  #find(path: string): number | undefined {
    const { machine } = this.#simulation;
    let inode: number | undefined = topInode;
    for (const name of [...rootPath.slice(1).split('/'), ...path.split('/')]) {
      if (inode === undefined || machine.inode(inode).kind !== 'directory') return undefined;
      inode = machine.find({ directory: inode, name })?.inode;
    }
    return inode;
  }
}

/** A store that a failed sync has stopped says so, and is recovered by the next open. */
async function recoverIfHealthy(store: Store): Promise<void> {
  try {
    await store.recover();
  } catch (error) {
    if (!isEngineError(error, 'STORE_POISONED')) throw error;
  }
}

/** Every known text that a disk may hold at rest; anything else in the root is somebody else's. */
export function knownContents(disk: Disk, { actions }: Workload): ReadonlySet<string> {
  const known = new Set(contentsOf(disk).map(({ text }) => text));
  known.add('new');
  const operations = actions.flatMap((action) => {
    if (action.do === 'together') return action.transactions.flat();
    return action.do === 'transact' ? action.operations : [];
  });
  for (const operation of operations) if ('text' in operation) known.add(operation.text);
  return known;
}
