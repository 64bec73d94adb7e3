import { hostname, userInfo } from 'node:os';
import {
  EngineError,
  type Finding,
  findingOf,
  isEngineError,
  openStore,
  type OpenStoreOptions,
  rebuildStore,
  type Rebuilt,
  type Store,
} from '../engine/index.js';
import type { Context } from './context.js';
import { describeRecoveryNotice } from './describe-recovery.js';
import type { GlobalOptions } from './global-options.js';
import { findRoot, findRootAtHand } from './store-root.js';

/** How long a command that only reads waits for a writer, so that it can recover first. */
const readerLockWaitMs = 250;

export interface OpenOptions {
  /** Default: found from the working directory upwards. */
  readonly root?: string;
  readonly create?: boolean;
  readonly adopt?: boolean;
  readonly recover?: 'auto' | 'never';
  readonly lockWaitMs?: number;
  /** Whether the caller itself tells what was recovered. */
  readonly reportsRecovery?: boolean;
}

/** Opens the store of a command, and says in one line on stderr what had to be recovered. */
export async function openForCommand(context: Context, options: OpenOptions = {}): Promise<Store> {
  const { output } = context;
  const root = options.root ?? (await storeRoot(context.options));
  const store = await openStore(root, storeOptions(context, options));
  const report = store.recoveryOnOpen;
  if (report !== undefined && options.reportsRecovery !== true) {
    const needsHelp = report.superseded.length > 0 || report.unresolved.length > 0;
    if (needsHelp) output.warn(describeRecoveryNotice(report));
    else output.notice(describeRecoveryNotice(report));
  }
  return store;
}

/** Builds the journal of a command's store anew. */
export async function rebuildForCommand(
  context: Context,
  { dryRun, adopt }: { readonly dryRun: boolean; readonly adopt: boolean },
): Promise<Rebuilt> {
  const root = await storeRoot(context.options);
  return rebuildStore(root, { ...storeOptions(context, { adopt }), dryRun });
}

function storeOptions(context: Context, options: OpenOptions = {}): OpenStoreOptions {
  const { signal, commandLine } = context;
  const { acceptsFileSystem, lockTimeoutMs } = context.options;
  const lockWaitMs = options.lockWaitMs ?? lockTimeoutMs;
  const umask = process.umask();
  return {
    signal,
    command: commandLine,
    ...byOption(),
    native: process.env['SKILLMEAT_NATIVE'] === 'off' ? 'off' : 'auto',
    create: options.create ?? false,
    adopt: options.adopt ?? false,
    recover: options.recover ?? 'auto',
    acceptFileSystem: acceptsFileSystem,
    fileMode: 0o666 & ~umask,
    directoryMode: 0o777 & ~umask,
    ...(lockWaitMs === undefined ? {} : { lockWaitMs }),
  };
}

/** The store that the options name, or the one at hand, or else that of the collection in use. */
async function storeRoot(options: GlobalOptions): Promise<string> {
  const { root, collection, usesCollection } = options;
  if (collection === undefined && (root !== undefined || !usesCollection)) return findRoot(root);
  // Loaded only now: transactions on any directory know nothing of collections.
  const { collectionAtHand, collectionInUse, givenCollection } = await import(
    './collection-root.js'
  );
  if (collection !== undefined) return givenCollection(options) ?? findRoot(root);
  // Who stands in a collection without a store does not mean another one.
  return findRootAtHand() ?? collectionAtHand() ?? collectionInUse() ?? findRoot(root);
}

/** Who asks, as the log has it; nothing where the system has no name for the user. */
function byOption(): { readonly by?: string } {
  try {
    return { by: `${userInfo().username}@${hostname()}` };
  } catch {
    return {};
  }
}

export interface Reading {
  readonly store: Store;
  /** Somebody living holds the lock: nothing was recovered. */
  readonly isLocked: boolean;
}

/** Opens the store of a command that only reads: a writer at work does not keep it from that. */
export async function openForReading(
  context: Context,
  options: Pick<OpenOptions, 'adopt'> = {},
): Promise<Reading> {
  const lockWaitMs = context.options.lockTimeoutMs ?? readerLockWaitMs;
  try {
    return { store: await openForCommand(context, { ...options, lockWaitMs }), isLocked: false };
  } catch (error) {
    if (!isEngineError(error, 'STORE_LOCKED')) throw error;
    return { store: await openForCommand(context, { recover: 'never' }), isLocked: true };
  }
}

/**
 * Opens the store of a command that verifies, however damaged it is: without recovering it when that
 * is what fails.
 *
 * @returns what keeps it from being opened at all, as a finding.
 */
export async function openForVerifying(
  context: Context,
  options: Pick<OpenOptions, 'adopt'> = {},
): Promise<Store | Finding> {
  try {
    return (await openForReading(context, options)).store;
  } catch (error) {
    if (findingOf(error) === undefined) throw error;
  }
  try {
    return await openForCommand(context, { ...options, recover: 'never' });
  } catch (error) {
    const finding = findingOf(error);
    if (finding === undefined) throw error;
    return finding;
  }
}

/** Opens the store at `root`, or makes it when there is none. */
export async function openOrMake(
  context: Context,
  options: OpenOptions & { readonly root: string },
): Promise<{ readonly store: Store; readonly isNew: boolean }> {
  try {
    return { store: await openForCommand(context, options), isNew: false };
  } catch (error) {
    if (!isEngineError(error, 'STORE_NOT_FOUND')) throw error;
    return { store: await openForCommand(context, { ...options, create: true }), isNew: true };
  }
}

/** Adds what to do next to the failure of a command that makes no store. */
export function withHint(error: unknown, hint: string): unknown {
  if (!isEngineError(error, 'STORE_NOT_FOUND')) return error;
  const { code, message, path } = error;
  return new EngineError(code, message, { path, cause: error, hint });
}
