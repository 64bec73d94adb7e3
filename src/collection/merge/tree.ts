import { type ContentHash, hashContent, type ReadableView } from '../../engine/index.js';

/** What a name below an artifact is. */
export type TreeEntry =
  | {
      readonly kind: 'file';
      readonly isExecutable: boolean;
      readonly sha256: ContentHash;
      /** Reads it again: trees are compared without keeping their bytes. */
      readonly read: () => Promise<Uint8Array>;
    }
  | { readonly kind: 'symlink'; readonly target: string };

/**
 * The files and links of an artifact by their paths, relative to it; an artifact that is a file is at
 * the empty path. Directories are where something lies in them, as in git.
 */
export type Tree = ReadonlyMap<string, TreeEntry>;

/** Reads the artifact at `path`; what is neither file, link nor directory is left out. */
export async function readTree(view: ReadableView, path: string): Promise<Tree> {
  const tree = new Map<string, TreeEntry>();
  await add(view, { at: path, below: '' }, tree);
  return tree;
}

async function add(
  view: ReadableView,
  { at, below }: { readonly at: string; readonly below: string },
  tree: Map<string, TreeEntry>,
): Promise<void> {
  const found = await view.stat(at);
  if (found?.kind === 'directory') {
    for (const { name } of (await view.list(at)) ?? []) {
      await add(
        view,
        { at: `${at}/${name}`, below: below === '' ? name : `${below}/${name}` },
        tree,
      );
    }
  } else if (found?.kind === 'symlink') {
    tree.set(below, { kind: 'symlink', target: found.target ?? '' });
  } else if (found?.kind === 'file') {
    const read = async (): Promise<Uint8Array> => (await view.read(at)) ?? new Uint8Array();
    const isExecutable = (found.mode & 0o100) !== 0;
    tree.set(below, { kind: 'file', isExecutable, sha256: hashContent(await read()), read });
  }
}

/** Tells whether both sides have the same there, or both nothing. */
export function isSameEntry(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.kind === 'symlink') return b.kind === 'symlink' && a.target === b.target;
  return b.kind === 'file' && a.sha256 === b.sha256 && a.isExecutable === b.isExecutable;
}
