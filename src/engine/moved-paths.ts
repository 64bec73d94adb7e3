import { ancestorsOf, type RelativePath } from './path.js';

/** Paths whose names were changed and may not be on disk yet. */
export class MovedPaths {
  readonly #moved = new Set<RelativePath>();
  /** Directories with one of them anywhere below. */
  readonly #above = new Set<RelativePath>();

  add(path: RelativePath): void {
    this.#moved.add(path);
    for (const ancestor of ancestorsOf(path)) this.#above.add(ancestor);
  }

  has(path: RelativePath): boolean {
    return this.#moved.has(path);
  }

  clear(): void {
    this.#moved.clear();
    this.#above.clear();
  }

  /** Tells whether one of them lies in `path`, or `path` in one of them, however deep. */
  isNested(path: RelativePath): boolean {
    if (this.#above.has(path)) return true;
    return [...ancestorsOf(path)].some((ancestor) => this.#moved.has(ancestor));
  }
}
