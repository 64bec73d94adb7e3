import type { Directory, FileSystem, Place } from './file-system.js';
import { utcText } from './utc-text.js';

/** Why something was set aside. */
export interface QuarantineNote {
  /** Root-relative. */
  readonly path: string;
  readonly transaction: number;
  readonly why: string;
}

/** One name in `quarantine/`. */
export interface Quarantined {
  readonly name: string;
  readonly hasItem: boolean;
  readonly hasNote: boolean;
}

/** A path and a sentence; longer than that is no note of ours. */
const noteBytesMax = 65_536;

/** `quarantine/`: bytes that are nobody's to throw away, each with a note beside it (I3). */
export class Quarantine {
  readonly #files: FileSystem;
  readonly #directory: Directory;
  readonly #now: () => number;

  constructor(options: {
    readonly files: FileSystem;
    readonly directory: Directory;
    readonly now: () => number;
  }) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.#now = options.now;
  }

  /** Moves what is at `place`, a place in the stage directory, into quarantine. */
  takeIn(place: Place, note: QuarantineNote): void {
    const name = this.#freeName(note.transaction);
    this.#writeNote(name, note);
    const to: Place = { directory: this.#directory, name };
    try {
      this.#files.moveNew(place, to);
    } catch (error) {
      // Without the native part it may have got its new name, and not lost the old one.
      if (this.#files.stat(to) === undefined) this.#files.removeFile(this.#noteAt(name));
      throw error;
    }
  }

  /** Tells whether anything of a transaction lies here, with or without a note. */
  hasAnyOf(transaction: number): boolean {
    const prefix = `${String(transaction)}-`;
    return this.#files.list(this.#directory).some(({ name }) => name.startsWith(prefix));
  }

  /** Tells whether something was set aside for `path` of `transaction`, also by a process that died. */
  holds(path: string, transaction: number): boolean {
    return this.#itemsOf(transaction).some((name) => this.#noteOf(name)?.path === path);
  }

  /** What was set aside for `transaction` and has no note, because a power cut took it. */
  withoutNote(transaction: number): readonly Place[] {
    return this.#itemsOf(transaction)
      .filter((name) => this.#noteOf(name) === undefined)
      .map((name) => ({ directory: this.#directory, name }));
  }

  #itemsOf(transaction: number): readonly string[] {
    const prefix = `${String(transaction)}-`;
    return this.#files
      .list(this.#directory)
      .map(({ name }) => name)
      .filter((name) => name.startsWith(prefix) && !name.endsWith('.json'));
  }

  #noteOf(name: string): Partial<QuarantineNote> | undefined {
    const place = this.#noteAt(name);
    const stat = this.#files.stat(place);
    if (stat?.kind !== 'file' || stat.size > noteBytesMax) return undefined;
    const file = this.#files.openForReading(place);
    try {
      const text = Buffer.alloc(stat.size);
      const count = this.#files.readSync(file, text);
      return JSON.parse(text.toString('utf8', 0, count)) as Partial<QuarantineNote>;
    } catch {
      // Torn by a power cut, or somebody else's.
      return undefined;
    } finally {
      this.#files.closeFile(file);
    }
  }

  /** Everything that lies here, sorted, with whether a note says why. */
  list(): readonly Quarantined[] {
    const found = this.#files.list(this.#directory).map(({ name }) => name);
    const items = new Set(found.filter((name) => !name.endsWith('.json')));
    const all = new Set([...items, ...found.map((name) => name.replace(/\.json$/, ''))]);
    return [...all].toSorted().map((name) => ({
      name,
      hasItem: items.has(name),
      hasNote: this.#noteOf(name) !== undefined,
    }));
  }

  /** Writes the note that something lacks. */
  explain(name: string, why: string): void {
    const transaction = Number(/^\d+/.exec(name)?.[0] ?? 0);
    const place = this.#noteAt(name);
    // Torn by a power cut: it says nothing.
    if (this.#files.stat(place) !== undefined) this.#files.removeFile(place);
    this.#writeNote(name, { path: '', transaction, why });
  }

  /** Returns what a note says, as it is. */
  noteText(name: string): string {
    const note = this.#noteOf(name);
    return note === undefined ? 'nothing that can be read' : JSON.stringify(note);
  }

  /** Removes a note that is about nothing. */
  removeNote(name: string): void {
    const isAlone = this.list().some((one) => one.name === name && !one.hasItem);
    if (isAlone) this.#files.removeFile(this.#noteAt(name));
  }

  /** How many things lie here. */
  count(): number {
    return this.#files.list(this.#directory).filter(({ name }) => name.endsWith('.json')).length;
  }

  #writeNote(name: string, note: QuarantineNote): void {
    const setAsideAt = utcText(this.#now());
    const text = `${JSON.stringify({ ...note, setAsideAt }, undefined, 2)}\n`;
    const file = this.#files.createFile(this.#noteAt(name), 0o600);
    try {
      this.#files.writeSync(file, Buffer.from(text));
    } finally {
      this.#files.closeWritten(file);
    }
  }

  #noteAt(name: string): Place {
    return { directory: this.#directory, name: `${name}.json` };
  }

  #freeName(transaction: number): string {
    const taken = new Set(this.#files.list(this.#directory).map(({ name }) => name));
    for (let n = 1; ; n += 1) {
      const name = `${String(transaction)}-${String(n)}`;
      if (!taken.has(name) && !taken.has(`${name}.json`)) return name;
    }
  }
}
