import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  contentOf,
  directoriesOf,
  isLink,
  permissionsOf,
  targetOf,
  type TraceFile,
  type TraceTree,
} from './trace.js';

/** Compares a directory with trees, every path of it each time; knows the contents it made before. */
export class TreeComparison {
  readonly #root: string;
  readonly #contents = new Map<string, Buffer>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Returns one sentence for each path that is not as `tree` has it: kind, bytes, mode, target. */
  differences(tree: TraceTree): readonly string[] {
    const directories = directoriesOf(tree);
    const missing = new Set([...tree.keys(), ...directories]);
    const found: string[] = [];
    for (const path of pathsBelow(this.#root, '')) {
      missing.delete(path);
      const wanted = directories.has(path) ? 'directory' : tree.get(path);
      const difference = this.#difference(path, wanted);
      if (difference !== undefined) found.push(`${path}: ${difference}`);
    }
    return [...found, ...Array.from(missing, (path) => `${path}: is missing`)];
  }

  #difference(path: string, wanted: TraceFile | 'directory' | undefined): string | undefined {
    const at = join(this.#root, path);
    const stat = lstatSync(at);
    const mode = stat.mode & 0o7777;
    if (wanted === undefined) return 'should not be there';
    if (wanted === 'directory') {
      if (!stat.isDirectory()) return 'should be a directory';
      return mode === 0o755 ? undefined : `has mode ${mode.toString(8)}, not 755`;
    }
    if (isLink(wanted)) {
      if (!stat.isSymbolicLink()) return 'should be a link';
      const target = readlinkSync(at);
      return target === targetOf(wanted) ? undefined : `leads to ${target}`;
    }
    if (!stat.isFile()) return 'should be a file';
    if (mode !== permissionsOf(wanted)) return `has mode ${mode.toString(8)}`;
    return readFileSync(at).equals(this.#contentOf(wanted)) ? undefined : 'has other bytes';
  }

  #contentOf(file: TraceFile): Buffer {
    const known = this.#contents.get(file.blob);
    if (known !== undefined) return known;
    const content = contentOf(file);
    this.#contents.set(file.blob, content);
    return content;
  }
}

/** Yields every path below the root but the engine's own directory. */
function* pathsBelow(root: string, directory: string): Generator<string, void> {
  for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
    if (directory === '' && entry.name === '.skillmeat') continue;
    const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
    yield path;
    if (entry.isDirectory()) yield* pathsBelow(root, path);
  }
}
