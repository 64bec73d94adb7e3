import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PlanDocument, PlanOperationDocument } from '../src/engine/index.js';

/*
 * The history of a public repository, one commit a line, as plans. A trace has no contents: they are
 * made from the blob's id, so equal blobs are equal bytes.
 */

/** A path after a commit, as git has it. */
export interface TraceFile {
  readonly mode: '100644' | '100755' | '120000';
  /** Git's id of the content, in hex. */
  readonly blob: string;
  /** Bytes. */
  readonly size: number;
}

export type TraceOperation =
  | ({ readonly op: 'put'; readonly path: string } & TraceFile)
  | { readonly op: 'del'; readonly path: string };

export interface TraceCommit {
  readonly commit: string;
  /** Git's id of the whole tree after this commit, in hex. */
  readonly tree: string;
  /** How many files there are after this commit. */
  readonly files: number;
  readonly ops: readonly TraceOperation[];
}

/** Every file and link after some commit, by path. Git has no directories but those on the way. */
export type TraceTree = ReadonlyMap<string, TraceFile>;

export const emptyTree: TraceTree = new Map();

export function readTrace(path: string): readonly TraceCommit[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line) => (line === '' ? [] : [parseCommit(line)]));
}

/** Takes the operations on trust: {@link treeAfter} checks what they lead to. */
function parseCommit(line: string): TraceCommit {
  const value = JSON.parse(line) as TraceCommit;
  if (typeof value.tree === 'string' && Array.isArray(value.ops)) return value;
  throw new Error(`not a commit of a trace: ${line.slice(0, 80)}`);
}

/** Returns the tree after `commit`. @throws when it has not as many files as git had. */
export function treeAfter(before: TraceTree, { commit, files, ops }: TraceCommit): TraceTree {
  const after = new Map(before);
  for (const operation of ops) {
    if (operation.op === 'del') after.delete(operation.path);
    else after.set(operation.path, operation);
  }
  if (after.size === files) return after;
  throw new Error(`the trace does not lead to the ${String(files)} files of commit ${commit}`);
}

/**
 * Tells whether git had this very tree: the id covers every path, mode and blob. Not so for a
 * commit with a submodule, which traces leave out.
 */
export function isTreeOf({ tree }: TraceCommit, files: TraceTree): boolean {
  return gitTreeId(files).toString('hex') === tree;
}

/** As `git write-tree`: entries in the order of their bytes, a directory's name ending in `/`. */
function gitTreeId(tree: TraceTree): Buffer {
  const subtrees = new Map<string, Map<string, TraceFile>>();
  const entries: { readonly key: Buffer; readonly row: Buffer }[] = [];
  const add = (name: string, mode: string, id: Buffer): void => {
    const key = Buffer.from(mode === '40000' ? `${name}/` : name);
    entries.push({ key, row: Buffer.concat([Buffer.from(`${mode} ${name}\0`), id]) });
  };
  for (const [path, file] of tree) {
    const [name = '', ...rest] = path.split('/');
    if (rest.length === 0) {
      add(name, file.mode, Buffer.from(file.blob, 'hex'));
      continue;
    }
    const subtree = subtrees.get(name) ?? new Map<string, TraceFile>();
    subtrees.set(name, subtree.set(rest.join('/'), file));
  }
  for (const [name, subtree] of subtrees) add(name, '40000', gitTreeId(subtree));
  entries.sort((a, b) => Buffer.compare(a.key, b.key));
  const body = Buffer.concat(entries.map(({ row }) => row));
  return createHash('sha1').update(`tree ${body.length}\0`).update(body).digest();
}

/** The directories on the way to the files of a tree. */
export function directoriesOf(tree: TraceTree): ReadonlySet<string> {
  const directories = new Set<string>();
  for (const path of tree.keys()) {
    for (const directory of directoriesAbove(path)) directories.add(directory);
  }
  return directories;
}

function directoriesAbove(path: string): readonly string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join('/'));
}

export function isLink({ mode }: TraceFile): boolean {
  return mode === '120000';
}

/** Made from the blob's id and cut to its size. */
export function contentOf({ blob, size }: TraceFile): Buffer {
  if (size === 0) return Buffer.alloc(0);
  return createHash('shake256', { outputLength: size }).update(blob).digest();
}

/** Leads to nothing, inside the root. */
export function targetOf({ blob }: TraceFile): string {
  return `linked/${blob.slice(0, 12)}`;
}

export function permissionsOf({ mode }: TraceFile): number {
  return mode === '100755' ? 0o755 : 0o644;
}

/** Returns the plan that leads from one tree to another, as somebody would write it by hand. */
export function planBetween(before: TraceTree, after: TraceTree, message: string): PlanDocument {
  const removed = new Set([...before.keys()].filter((path) => !after.has(path)));
  const operations: PlanOperationDocument[] = [];

  const renames = findRenames(before, after, removed);
  for (const [to, from] of renames) {
    operations.push({ op: 'rename', from, to });
    removed.delete(from);
  }
  for (const path of removed) operations.push({ op: 'remove', path });
  // Git forgets a directory with its last file. The deepest first, so that each is empty by then.
  const keptDirectories = directoriesOf(after);
  const leftDirectories = [...directoriesOf(before)].filter((path) => !keptDirectories.has(path));
  for (const path of leftDirectories.toSorted((a, b) => b.length - a.length)) {
    operations.push({ op: 'remove', path });
  }
  for (const [path, file] of after) {
    if (!renames.has(path)) operations.push(...operationsFor(path, before.get(path), file));
  }
  return { version: 1, message, operations };
}

/** Which new path gets which old one's content, where nothing of the old tree is in the way. */
function findRenames(
  before: TraceTree,
  after: TraceTree,
  removed: ReadonlySet<string>,
): ReadonlyMap<string, string> {
  const keyOf = ({ blob, mode }: TraceFile): string => `${mode} ${blob}`;
  const sources = new Map<string, string[]>();
  for (const path of removed) {
    const file = before.get(path);
    if (file === undefined) continue;
    sources.set(keyOf(file), [...(sources.get(keyOf(file)) ?? []), path]);
  }
  const directories = directoriesOf(before);
  const renames = new Map<string, string>();
  for (const [path, file] of after) {
    const isTaken = before.has(path) || directories.has(path);
    if (isTaken || directoriesAbove(path).some((above) => before.has(above))) continue;
    const from = sources.get(keyOf(file))?.shift();
    if (from !== undefined) renames.set(path, from);
  }
  return renames;
}

function operationsFor(
  path: string,
  before: TraceFile | undefined,
  after: TraceFile,
): readonly PlanOperationDocument[] {
  if (before?.blob === after.blob && before.mode === after.mode) return [];
  const mode = `0${permissionsOf(after).toString(8)}`;
  if (isLink(after)) {
    const link: PlanOperationDocument = { op: 'symlink', path, target: targetOf(after) };
    return before === undefined || isLink(before) ? [link] : [{ op: 'remove', path }, link];
  }
  const contentBase64 = contentOf(after).toString('base64');
  const write: PlanOperationDocument = { op: 'write', path, contentBase64, mode };
  if (before !== undefined && isLink(before)) return [{ op: 'remove', path }, write];
  return before?.blob === after.blob ? [{ op: 'chmod', path, mode }] : [write];
}
