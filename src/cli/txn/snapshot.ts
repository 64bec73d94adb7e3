import type { CompressionLevel, CreateSnapshotOptions, SnapshotPath } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeCreated, describeSnapshot, describeSnapshots } from '../describe-snapshot.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonCreated, toJsonSnapshotPath } from '../json-shapes.js';
import { openForCommand, openForReading } from '../open-store.js';

export interface CreateFlags {
  readonly message?: string;
  readonly tag?: readonly string[];
  readonly pin?: boolean;
  readonly ignore?: readonly string[];
  readonly maxSize?: number;
  readonly compression?: CompressionLevel;
  /** `false` with `--no-adopt`. */
  readonly adopt?: boolean;
  readonly dryRun?: boolean;
}

export async function createSnapshot(
  context: Context,
  name: string | undefined,
  flags: CreateFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const { message = '', tag = [], pin = false, ignore = [], maxSize, dryRun = false } = flags;
  const { adopt = true, compression } = flags;
  const options: CreateSnapshotOptions = { message, tags: tag, pin, ignore, adopt, dryRun, signal };
  const created = await store.snapshots.create({
    ...options,
    ...(name === undefined ? {} : { name }),
    ...(maxSize === undefined ? {} : { fileBytesMax: maxSize }),
    ...(compression === undefined ? {} : { compression }),
  });
  const { isQuiet, style } = output;
  if (created.notAdopted !== null) {
    output.warn(`what other programs changed is not adopted: ${created.notAdopted}`);
  }
  if (created.pruned.blocked !== null) {
    output.warn(`no older snapshots were pruned: ${created.pruned.blocked}`);
  }
  output.answer(toJsonCreated(created), describeCreated(created, { isQuiet, style }));
  return success;
}

export async function listSnapshots(
  context: Context,
  { deleted = false }: { readonly deleted?: boolean },
): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const snapshots = await store.snapshots.list({ deleted });
  output.answer({ snapshots }, describeSnapshots(snapshots, output.style));
  return success;
}

export async function showSnapshot(
  context: Context,
  reference: string,
  { files = false }: { readonly files?: boolean },
): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const snapshot = await store.snapshots.show(reference);
  let paths: SnapshotPath[] | undefined;
  if (files) {
    paths = [];
    for await (const path of store.snapshots.paths(reference)) paths.push(path);
  }
  output.answer(
    { snapshot, paths: paths?.map(toJsonSnapshotPath) ?? null },
    describeSnapshot(snapshot, paths ?? [], output.style),
  );
  return success;
}
