import type { Rule } from '../engine/index.js';
import type { ArtifactKey } from './artifact.js';
import { type CollectionFiles, readFiles } from './collection-files.js';
import { commitRule } from './commit-rule.js';
import { isCollectionError } from './errors.js';
import { LiveView } from './live-view.js';
import { lockName } from './lock-file.js';
import { manifestName } from './manifest.js';

/**
 * C1–C5 as a rule of a transaction that knows nothing of artifacts, such as a rollback: it may not
 * tear manifest, lock and files apart. What is no collection, or is none any more, breaks no rule.
 *
 * @param mayDifferThen artifacts that come back as they were, edits by hand included.
 * @param keys which artifacts to look at, see `commitRule`. Default: all.
 */
export function rollbackRule(
  root: string,
  mayDifferThen: ReadonlySet<ArtifactKey> | 'all',
  keys?: 'changed',
): Rule {
  return async (view, changes) => {
    const before = new LiveView(root);
    const isCollection = (await view.stat(manifestName)) !== undefined;
    if (!isCollection) {
      const was = (await before.stat(manifestName)) !== undefined;
      if (!was || (await view.stat(lockName)) === undefined) return [];
    }
    const filesBefore = await readableFiles(before, root);
    const mayDiffer = new Set(mayDifferThen === 'all' ? [] : mayDifferThen);
    // Nobody can tell any more which artifacts had been edited by hand.
    const isUnreadable = filesBefore === undefined && isCollection;
    // Nor can it be read afterwards, and is as broken as it was.
    if (isUnreadable && !changes.some(({ path }) => isOfCollection(path))) return [];
    if (mayDifferThen === 'all' || isUnreadable) {
      for (const key of (await readableFiles(view, root))?.manifest.keys ?? []) mayDiffer.add(key);
    }
    const rule = commitRule(() => ({
      root,
      before,
      filesBefore,
      filesMeant: undefined,
      keys,
      mayDiffer,
    }));
    return rule(view, changes);
  };
}

function isOfCollection(path: string): boolean {
  return path === manifestName || path === lockName;
}

async function readableFiles(
  view: Parameters<typeof readFiles>[0],
  root: string,
): Promise<CollectionFiles | undefined> {
  try {
    return await readFiles(view, root);
  } catch (error) {
    if (isCollectionError(error, 'TOML_INVALID', 'COLLECTION_NOT_FOUND')) return undefined;
    throw error;
  }
}
