import type { Database, PragmaOptions } from 'better-sqlite3';
import { sqliteDriver } from '../../src/engine/sqlite.js';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { systemError } from '../support/faults.js';

/** The bytes of a journal; the log is empty when there is none. */
export interface JournalBytes {
  readonly database: Buffer;
  readonly log: Buffer;
}

/** What SQLite wrote at one moment. */
interface JournalState {
  /** As every process sees it. */
  readonly visible: JournalBytes;
  /** What is certain to survive a power cut. */
  readonly durable: JournalBytes;
}

/*
 * The journal is a real SQLite database in a directory of its own. Each commit and checkpoint is
 * noted with the bytes on disk, and with what SQLite had synced by then: the log, when
 * `synchronous` is FULL at the commit; else only a barrier makes it durable.
 */
export class JournalDisk {
  readonly path: string;
  onStep: (call: string) => void = () => undefined;
  /** Called when SQLite has synced its log. */
  onSync: () => void = () => undefined;
  #state: JournalState;
  /** Whether SQLite's next sync tells of a log that the disk did not take. */
  #isFailing = false;
  /** Whether parts of the log count as written and are not on disk: no sync of the log helps. */
  #hasHole = false;

  /** @param directory a real one, for this journal alone. */
  constructor(directory: string, bytes: JournalBytes) {
    this.path = path.join(directory, 'journal.db');
    this.#state = { visible: bytes, durable: bytes };
    const logPath = `${this.path}-wal`;
    fs.writeFileSync(this.path, bytes.database);
    if (bytes.log.length > 0) fs.writeFileSync(logPath, bytes.log);
    else if (fs.existsSync(logPath)) fs.unlinkSync(logPath);
    simulated.add(this.path);
  }

  /** What may be left of the journal after a power cut now. */
  afterCrash(): readonly JournalBytes[] {
    const { visible, durable } = this.#state;
    if (visible.log.equals(durable.log)) return [visible];
    return [visible, durable, { ...durable, log: tornLog(durable.log, visible.log) }];
  }

  get visible(): JournalBytes {
    return this.#state.visible;
  }

  /** The disk takes nothing of the log that is on its way. */
  failWriteBack(): void {
    const { visible, durable } = this.#state;
    if (visible.log.equals(durable.log)) return;
    this.#isFailing = true;
    this.#hasHole = true;
  }

  /** Whether SQLite's next sync will fail. */
  get owesFailure(): boolean {
    return this.#isFailing;
  }

  /** Throws in the place of SQLite when its sync hears of a failure; it does so once. */
  refuseFailedSync(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_FSYNC' });
  }

  /** A barrier of the whole file system. */
  syncAll(): void {
    if (this.#hasHole) return;
    this.#state = { visible: this.#state.visible, durable: this.#state.visible };
  }

  /** Its bytes are written once more from memory, and synced. */
  writeLogAnew(): void {
    if (this.#isFailing) {
      this.#isFailing = false;
      throw systemError('EIO');
    }
    const { visible, durable } = this.#state;
    this.#hasHole = false;
    if (visible.log.equals(durable.log)) return;
    this.#state = { visible, durable: visible };
    this.onSync();
    this.onStep('journal log written anew');
  }

  noteCommit(isSynced: boolean): void {
    const visible = this.#read();
    const { durable } = this.#state;
    const isDurable = isSynced && !this.#hasHole;
    this.#state = { visible, durable: isDurable ? visible : { ...visible, log: durable.log } };
    if (isSynced) this.onSync();
    this.onStep('journal commit');
  }

  /** SQLite syncs the log, writes and syncs the database, then empties the log without a sync. */
  noteCheckpoint(): void {
    const { visible: before } = this.#state;
    const after = this.#read();
    if (after.database.equals(before.database) && after.log.equals(before.log)) return;
    const { database } = after;
    const half = database.length >> 1;
    const mixed = Buffer.concat([database.subarray(0, half), before.database.subarray(half)]);
    // Not looked at: a power cut here while the log has a hole (docs/design.md, "One flush").
    const cut = { database: mixed, log: before.log };
    this.#state = { visible: cut, durable: cut };
    this.onStep('journal checkpoint, cut');
    // What the log said is read from memory: the database has all of it, and the log begins anew.
    this.#hasHole = false;
    this.#state = { visible: after, durable: { database, log: before.log } };
    this.onStep('journal checkpoint');
  }

  #read(): JournalBytes {
    const logPath = `${this.path}-wal`;
    const log = fs.existsSync(logPath) ? fs.readFileSync(logPath) : Buffer.alloc(0);
    return { database: fs.readFileSync(this.path), log };
  }
}

/** The old log with half of what is new in it. */
function tornLog(durable: Buffer, visible: Buffer): Buffer {
  const isLonger = visible.length > durable.length;
  const kept = isLonger ? (durable.length + visible.length) >> 1 : visible.length >> 1;
  return Buffer.concat([visible.subarray(0, kept), durable.subarray(kept)]);
}

const hashes = new WeakMap<Buffer, string>();

export function hashOf(bytes: Buffer): string {
  let hash = hashes.get(bytes);
  if (hash === undefined) {
    hash = createHash('sha1').update(bytes).digest('base64');
    hashes.set(bytes, hash);
  }
  return hash;
}

// --- listening to SQLite -------------------------------------------------------------------------

const listening = new Map<string, JournalDisk>();

/** Makes `journal` hear of what SQLite does with it while `work` goes on. */
export async function listenTo<T>(journal: JournalDisk, work: () => Promise<T>): Promise<T> {
  listening.set(journal.path, journal);
  try {
    return await work();
  } finally {
    listening.delete(journal.path);
  }
}

/** Paths of journals that only one connection at a time opens. */
const simulated = new Set<string>();
/**
 * The first one of a connection. To map and unmap `-shm` takes longer than all other calls of a
 * recovery; no crash leaves anything of it, so a simulated journal does without.
 */
const firstStatement = 'PRAGMA trusted_schema = OFF';

const fullSync = 2;
const { prototype } = sqliteDriver();
const { exec, pragma, close } = prototype as {
  readonly [Name in 'exec' | 'pragma' | 'close']: (...values: unknown[]) => unknown;
};

Object.assign(prototype, {
  exec(this: Database, source: string): unknown {
    if (source === firstStatement && simulated.has(this.name)) {
      exec.call(this, 'PRAGMA locking_mode = EXCLUSIVE');
    }
    const journal = source === 'COMMIT' ? listening.get(this.name) : undefined;
    if (journal === undefined) return exec.call(this, source);
    const isSynced = Number(pragma.call(this, 'synchronous', { simple: true })) >= fullSync;
    if (isSynced) journal.refuseFailedSync();
    const result = exec.call(this, source);
    journal.noteCommit(isSynced);
    return result;
  },
  pragma(this: Database, source: string, options?: PragmaOptions): unknown {
    const journal = source.startsWith('wal_checkpoint') ? listening.get(this.name) : undefined;
    journal?.refuseFailedSync();
    const result = pragma.call(this, source, options);
    journal?.noteCheckpoint();
    return result;
  },
  close(this: Database): unknown {
    const result = close.call(this);
    listening.get(this.name)?.noteCheckpoint();
    return result;
  },
});
