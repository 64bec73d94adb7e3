import type { ReadableView } from '../../engine/index.js';
import { type MergedTree, mergeTrees, type OnConflict } from '../merge/merge-trees.js';
import { readTree } from '../merge/tree.js';
import { type PreparedUpdate, viewOf } from './look-for-updates.js';

/** Merges an update three ways with the artifact as `view` has it at `path`. */
export async function mergeUpdate(
  { view, path }: { readonly view: ReadableView; readonly path: string },
  { base, fetched }: PreparedUpdate,
  onConflict: OnConflict,
): Promise<MergedTree> {
  const upstream = viewOf(fetched);
  const last = base === undefined ? undefined : viewOf(base);
  const trees = {
    base: last === undefined ? undefined : await readTree(last.view, last.path),
    ours: await readTree(view, path),
    theirs: await readTree(upstream.view, upstream.path),
  };
  return mergeTrees(trees, onConflict);
}
