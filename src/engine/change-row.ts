import { type ColumnType, hasColumnTypes } from './column-types.js';
import { checksumOf, type ContentHash } from './hash.js';
import { absent, type Image } from './image.js';
import { isInnerPath, type RelativePath } from './path.js';
import { type Column, fromHex, rowText, toHex } from './row-text.js';

/** What one row of a transaction does to its path. See docs/format.md, "Units". */
export type Act = 'create' | 'replace' | 'remove' | 'set-mode' | 'member';

/** One path of a transaction. */
export interface ChangeRow {
  readonly sequence: number;
  /** Sequence of the row that heads this row's unit; its own for a head. */
  readonly unit: number;
  readonly act: Act;
  /** Name in the transaction's stage directory, for heads that move something. */
  readonly slot: string | undefined;
  readonly path: RelativePath;
  readonly before: Image;
  readonly after: Image;
  /** Why the path does not have its after-image although the transaction is committed. */
  readonly superseded: string | undefined;
}

/** A row of the journal, by its transaction. */
export interface SoughtPaths {
  /** This path and what is below it. Default: all. */
  readonly within?: RelativePath | undefined;
  /** These paths, without what is below them. Default: all. */
  readonly among?: ReadonlySet<RelativePath> | undefined;
}

export interface RowPosition {
  readonly id: number;
  readonly sequence: number;
}

/** A row of `journal_change`. */
export interface StoredChange {
  transaction_id: bigint;
  sequence: bigint;
  unit: bigint;
  act: Act;
  slot: string | null;
  path: string;
  before_kind: string;
  before_sha256: Buffer | null;
  before_size: bigint | null;
  before_mode: bigint | null;
  before_target: string | null;
  after_kind: string;
  after_sha256: Buffer | null;
  after_size: bigint | null;
  after_mode: bigint | null;
  after_target: string | null;
  superseded: string | null;
  checksum: bigint;
}

/** Returns what a row says, or why it must not be believed. */
export function parseChange(stored: StoredChange): ChangeRow | { readonly damage: string } {
  if (!hasColumnTypes(stored, changeTypes)) return { damage: 'has a column of another type' };
  // I8: a checksum keeps nobody from writing "../x" with a good one.
  // guard: row-inner-path [if false]
  if (!isInnerPath(stored.path) || (stored.slot !== null && !/^[0-9]+$/.test(stored.slot))) {
    return { damage: 'names a place outside of the store' };
  }
  const columns = columnsOf(stored);
  // guard: row-checksum [if true]
  if (checksumOf(lineOf(columns) + addition(columns)) === stored.checksum) return toChange(stored);
  return { damage: 'does not match its checksum' };
}

/** What is written of a row: its line, as the chain covers it, and every column with its checksum. */
export function toStoredChange(
  id: number,
  row: ChangeRow,
): { readonly text: string; readonly values: readonly Column[] } {
  const columns = columnsFor(id, row);
  const text = lineOf(columns);
  return { text, values: [...columns, checksumOf(text + addition(columns))] };
}

/** Without what is written later. */
function lineOf(columns: readonly Column[]): string {
  return rowText(columns.slice(0, -1));
}

/** A second line for what is written later, when there is something. */
function addition(columns: readonly Column[]): string {
  const superseded = columns.at(-1) ?? null;
  return superseded === null ? '' : rowText([superseded]);
}

function columnsFor(id: number, row: ChangeRow): readonly Column[] {
  const { sequence, unit, act, slot, path, before, after, superseded } = row;
  const images = [...imageColumns(before), ...imageColumns(after)];
  return [id, sequence, unit, act, slot ?? null, path, ...images, superseded ?? null];
}

function columnsOf(row: StoredChange): readonly Column[] {
  return [
    row.transaction_id,
    row.sequence,
    row.unit,
    row.act,
    row.slot,
    row.path,
    row.before_kind,
    row.before_sha256,
    row.before_size,
    row.before_mode,
    row.before_target,
    row.after_kind,
    row.after_sha256,
    row.after_size,
    row.after_mode,
    row.after_target,
    row.superseded,
  ];
}

/** Kind, hash, size, mode, target. */
function imageColumns(image: Image): readonly Column[] {
  switch (image.kind) {
    case 'absent':
      return ['absent', null, null, null, null];
    case 'file':
      return ['file', fromHex(image.sha256), image.size, image.mode, null];
    case 'directory':
      return ['directory', null, null, image.mode, null];
    case 'symlink':
      return ['symlink', null, null, null, image.target];
  }
}

const changeTypes: Readonly<Record<keyof StoredChange, ColumnType>> = {
  transaction_id: 'integer',
  sequence: 'integer',
  unit: 'integer',
  act: 'text',
  slot: 'text?',
  path: 'text',
  before_kind: 'text',
  before_sha256: 'blob?',
  before_size: 'integer?',
  before_mode: 'integer?',
  before_target: 'text?',
  after_kind: 'text',
  after_sha256: 'blob?',
  after_size: 'integer?',
  after_mode: 'integer?',
  after_target: 'text?',
  superseded: 'text?',
  checksum: 'integer',
};

function toChange(row: StoredChange): ReturnType<typeof parseChange> {
  const before = toImage({
    kind: row.before_kind,
    sha256: row.before_sha256,
    size: row.before_size,
    mode: row.before_mode,
    target: row.before_target,
  });
  const after = toImage({
    kind: row.after_kind,
    sha256: row.after_sha256,
    size: row.after_size,
    mode: row.after_mode,
    target: row.after_target,
  });
  // Whoever can make a checksum can leave a part out; no content has the hash of nothing.
  if (before === undefined || after === undefined) return { damage: 'has an image without a part' };
  return {
    sequence: Number(row.sequence),
    unit: Number(row.unit),
    act: row.act,
    slot: row.slot ?? undefined,
    path: row.path as RelativePath,
    before,
    after,
    superseded: row.superseded ?? undefined,
  };
}

function toImage({ kind, sha256, size, mode, target }: StoredImage): Image | undefined {
  switch (kind) {
    case 'absent':
      return absent;
    case 'file':
      if (sha256 === null || size === null || mode === null) return undefined;
      return {
        kind,
        sha256: toHex(sha256) as ContentHash,
        size: Number(size),
        mode: Number(mode),
      };
    case 'directory':
      return mode === null ? undefined : { kind, mode: Number(mode) };
    case 'symlink':
      return target === null ? undefined : { kind, target };
    default:
      return undefined;
  }
}

interface StoredImage {
  kind: string;
  sha256: Buffer | null;
  size: bigint | null;
  mode: bigint | null;
  target: string | null;
}
