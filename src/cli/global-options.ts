import type { Moment } from '../engine/index.js';
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Options that every command takes, before and after its name. */
export interface GlobalOptions {
  readonly root: string | undefined;
  /** Name or path of a collection. */
  readonly collection: string | undefined;
  /** Whether the command falls back to the collection in use: those below `txn` do not. */
  readonly usesCollection: boolean;
  readonly isJson: boolean;
  readonly isQuiet: boolean;
  readonly allowsColor: boolean;
  readonly lockTimeoutMs: number | undefined;
  readonly acceptsFileSystem: boolean;
}

/** Longest `--lock-timeout`. */
const lockTimeoutMsMax = 24 * 60 * 60 * 1_000;

/** Made once: there are many commands. */
const globalOptionList: readonly Option[] = [
  new Option(
    '-C, --root <dir>',
    'the directory with the store (default: the nearest one with a .skillmeat, going up)',
  ).argParser(parseDirectory),
  new Option(
    '--collection <name>',
    'name or path of a collection (default: the one at hand, or else the one in use)',
  ).argParser(parseDirectory),
  new Option('--json', 'print one JSON document instead of text'),
  new Option('-q, --quiet', 'print the result only: no lists of paths, notices or progress'),
  new Option('--no-color', 'print without colours'),
  new Option(
    '--lock-timeout <duration>',
    'how long to wait for another writer: 500ms, 10s, 2m (default: 10s)',
  ).argParser(parseDuration),
  new Option(
    '--accept-file-system',
    'use the store on a file system that is not known to keep the promises',
  ),
].map((option) => option.helpGroup('Global options:'));

export interface DryRunFlags {
  readonly dryRun?: boolean;
}

/** For commands that are no transaction. */
export const planOption: Option = new Option(
  '-n, --dry-run',
  'only print what would be done; write nothing',
);

export function addGlobalOptions(command: Command): Command {
  for (const option of globalOptionList) command.addOption(option);
  return command;
}

interface Flags {
  readonly root?: string;
  readonly collection?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly color?: boolean;
  readonly lockTimeout?: number;
  readonly acceptFileSystem?: boolean;
}

/** Collects the global options along the chain of commands; the one nearest to the end wins. */
export function globalOptions(command: Command): GlobalOptions {
  const chain: Command[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) chain.unshift(at);
  const given = chain.flatMap((at) =>
    Object.entries(at.opts()).filter(([name]) => at.getOptionValueSource(name) === 'cli'),
  );
  // As the parsers above made them.
  const flags = Object.fromEntries(given) as Flags;
  return {
    root: flags.root,
    collection: flags.collection,
    usesCollection: !chain.some((at) => at.name() === 'txn'),
    isJson: flags.json ?? false,
    isQuiet: flags.quiet ?? false,
    allowsColor: flags.color ?? true,
    lockTimeoutMs: flags.lockTimeout,
    acceptsFileSystem: flags.acceptFileSystem ?? false,
  };
}

const millisecondsPer: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/** Parses `500ms`, `10s`, `2m`, or a number of seconds, into milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(?<amount>\d+(?:\.\d+)?)(?<unit>ms|s|m)?$/.exec(text);
  const unit = millisecondsPer[match?.groups?.['unit'] ?? 's'] ?? Number.NaN;
  const milliseconds = Math.round(Number(match?.groups?.['amount']) * unit);
  if (milliseconds <= lockTimeoutMsMax) return milliseconds;
  throw new InvalidArgumentError('Expected a duration of at most a day: 500ms, 10s, 2m.');
}

/** Parses a positive integer, as numbers of transactions are. */
export function parsePositive(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError('Expected a whole number from 1 on.');
}

/** Parses a moment: the number of a transaction, 0 for before the first, or `now`. */
export function parseMoment(text: string): Moment {
  if (text === 'now') return { kind: 'now' };
  const id = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(id)) return { kind: 'transaction', id };
  const snapshot = withoutPrefix(text);
  if (snapshot !== text && snapshot !== '') return { kind: 'snapshot', snapshot };
  throw new InvalidArgumentError(
    'Expected the number of a transaction, "now", or "snapshot:" and its name or number.',
  );
}

/** Sets a snapshot apart from a transaction of the same number, or an artifact of the same name. */
const snapshotPrefix = 'snapshot:';

/** Returns the name or number of a snapshot that may be called `snapshot:` and that. */
export function withoutPrefix(text: string): string {
  return text.startsWith(snapshotPrefix) ? text.slice(snapshotPrefix.length) : text;
}

/** As {@link parseMoment}, where only a snapshot can be meant, or now. */
export function parseSnapshotOrNow(text: string): Moment {
  if (text === 'now') return { kind: 'now' };
  const snapshot = withoutPrefix(text);
  if (snapshot !== '') return { kind: 'snapshot', snapshot };
  throw new InvalidArgumentError('Expected the name or number of a snapshot, or "now".');
}

/** The number of a transaction, `now`, or `snapshot:` and how the snapshot was named. */
export type JsonMoment = number | string;

export function toJsonMoment(moment: Moment): JsonMoment {
  switch (moment.kind) {
    case 'now':
      return 'now';
    case 'transaction':
      return moment.id;
    case 'snapshot':
      return `${snapshotPrefix}${String(moment.snapshot)}`;
  }
}

/** As {@link parseMoment}; any other word names an artifact. */
export function parseMomentOrArtifact(text: string): Moment | string {
  const isMoment = text === 'now' || /^\d+$/.test(text) || text.startsWith(snapshotPrefix);
  return isMoment ? parseMoment(text) : text;
}

/** Gathers the values of an option that may be given again. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function parseDirectory(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('Expected a directory.');
}
