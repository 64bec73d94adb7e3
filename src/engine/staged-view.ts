import { EngineError, fromSystemError } from './errors.js';
import type { Directory, OpenFile, Place, Stat } from './file-system.js';
import { hashContent } from './hash.js';
import { type FileImage, type FoundImage, type Image, isSameImage } from './image.js';
import { inspect, type Looking } from './inspect.js';
import { changesMax, smallContentBytesMax } from './limits.js';
import {
  ancestorsOf,
  childOf,
  comparePaths,
  engineDirectoryName,
  foldSegment,
  isBelow,
  nameOf,
  parentOf,
  pathBelow,
  quote,
  type RelativePath,
} from './path.js';
import {
  belowError,
  existsError,
  linkError,
  notFoundError,
  refuseWriteOver,
  requireInnerTarget,
  requireTextTarget,
  requireUsableMode,
  specialError,
} from './path-refusals.js';
import { isObstacle, obstacleError, type RootTree } from './root-tree.js';
import { copySource, openSource } from './source-copy.js';
import {
  type Content,
  type StagedContent,
  type StagedContents,
  sourceUnreadable,
} from './staged-content.js';
import { absentNode, type AttributeSource, type Seen, type StagedNode } from './staged-node.js';

export interface StagedViewOptions {
  readonly looking: Looking;
  readonly tree: RootTree;
  /** Places below the store's `stage` directory: what earlier transactions displaced. */
  readonly history: RootTree;
  readonly contents: StagedContents;
  readonly engineDirectory: Directory;
  /** Permission bits of new files and directories. */
  readonly fileMode: number;
  readonly directoryMode: number;
  /** Whether the file system takes `Foo` and `foo` for one name. */
  readonly foldsNames: boolean;
}

const setGroupBit = 0o2000;

/**
 * The root as it will be: what is on disk, covered by what the transaction has asked for so far.
 * Operations act on it in order; new contents go to the stage directory at once.
 */
export class StagedView {
  readonly #options: StagedViewOptions;
  readonly #nodes = new Map<RelativePath, StagedNode>();
  /** Names of the nodes right below a directory; the root is ''. */
  readonly #names = new Map<string, Set<string>>();
  /** What the caller was shown of the disk: a transaction is built on it. */
  readonly #shown = new Map<RelativePath, FoundImage>();
  /** Directories on disk that are known to be plain directories in the view. */
  readonly #plainParents = new Set<RelativePath>();

  constructor(options: StagedViewOptions) {
    this.#options = options;
  }

  // --- operations ----------------------------------------------------------------------------

  async write(path: RelativePath, content: Content, mode: number | undefined): Promise<void> {
    await this.#write(path, mode, (newMode) => this.#options.contents.add(content, newMode, path));
  }

  /** As {@link write}, with the bytes of the regular file at `source`. */
  async writeFrom(
    path: RelativePath,
    source: Place,
    { name, mode }: { readonly name: string; readonly mode: number | undefined },
  ): Promise<void> {
    const expected = openSource(() => this.#options.looking.files.stat(source), name);
    if (expected?.kind !== 'file') {
      const found = expected === undefined ? 'does not exist' : `is a ${expected.kind}, not a file`;
      throw sourceUnreadable(new Error(`it ${found}`), name);
    }
    await this.#write(path, mode, (newMode) =>
      this.#options.contents.addFile(source, { expected, mode: newMode, path: name }),
    );
  }

  async #write(
    path: RelativePath,
    mode: number | undefined,
    stage: (mode: number) => Promise<StagedContent>,
  ): Promise<void> {
    const seen = this.#look(path);
    refuseWriteOver(path, seen, mode);
    if (mode !== undefined) requireUsableMode(path, mode, 0o400);
    this.#refuseCollision(path);
    const before = seen.kind === 'file' ? seen : undefined;
    const newMode = mode ?? before?.mode ?? this.#options.fileMode;
    const staged = await stage(newMode);
    // Only now: a call that fails changes nothing, not even the view.
    this.#prepareParents(path);
    this.#dropContent(path);
    const attributesFrom = before?.attributesFrom;
    this.#set(path, { kind: 'file', content: staged, mode: newMode, attributesFrom });
  }

  /** Makes `path` a copy of the file, link or directory at `source`, with everything below. */
  async copyIn(path: RelativePath, source: Place, sourceName: string): Promise<void> {
    const seen = this.#look(path);
    if (seen.kind === 'symlink') throw linkError(path);
    if (seen.kind === 'special') throw specialError(path);
    this.#refuseCollision(path);
    const kept = new Map<RelativePath, Seen>();
    for (const [at, found] of this.#walk(path, seen)) kept.set(at, found);
    const copied: [RelativePath, StagedNode][] = [];
    await copySource(
      source,
      { path, name: sourceName },
      {
        looking: this.#options.looking,
        contents: this.#options.contents,
        engineDirectory: this.#options.engineDirectory,
        add: (at, node) => {
          copied.push([at, keepAttributes(node, kept.get(at))]);
        },
      },
    );
    this.#prepareParents(path);
    this.#clear(path);
    for (const [at, node] of copied) this.#set(at, node);
  }

  remove(path: RelativePath, { ifPresent }: { readonly ifPresent: boolean }): void {
    const seen = this.#look(path);
    if (seen.kind === 'special') throw specialError(path);
    if (seen.kind === 'absent') {
      if (ifPresent) return;
      throw notFoundError(path);
    }
    this.#refuseCollision(path);
    this.#clear(path);
    this.#set(path, absentNode);
  }

  async rename(
    from: RelativePath,
    to: RelativePath,
    { replace }: { readonly replace: boolean },
  ): Promise<void> {
    const seen = this.#look(from);
    if (seen.kind === 'absent') throw notFoundError(from);
    if (from === to) return;
    this.#refuseCollision(from);
    this.#refuseCollision(to);
    if (isBelow(to, from)) {
      throw new EngineError('PLAN_CONTRADICTS', `cannot rename ${quote(from)} into itself`, {
        path: to,
        hint: 'Choose a target outside of the directory that moves.',
      });
    }
    const target = this.#look(to);
    if (target.kind === 'special') throw specialError(to);
    if (target.kind !== 'absent' && !replace) throw existsError(to, 'Set "replace" to replace it.');
    const moved: [RelativePath, StagedNode][] = [];
    for (const [path, member] of this.#walk(from, seen)) {
      const at = path === from ? to : childOf(to, pathBelow(path, from));
      moved.push([at, await this.#takeAlong(path, member)]);
    }
    this.#detach(from);
    this.#set(from, absentNode);
    this.#prepareParents(to);
    this.#clear(to);
    for (const [path, node] of moved) this.#set(path, node);
  }

  makeDirectory(path: RelativePath, mode: number | undefined): void {
    const seen = this.#look(path);
    this.#refuseCollision(path);
    if (seen.kind === 'directory') return;
    if (seen.kind === 'symlink') throw linkError(path);
    if (seen.kind !== 'absent') throw existsError(path, 'Remove it first.');
    if (mode !== undefined) requireUsableMode(path, mode, 0o700);
    this.#prepareParents(path);
    this.#setNewDirectory(path, mode);
  }

  setMode(path: RelativePath, mode: number): void {
    const { kind } = this.#look(path);
    if (kind === 'directory') requireUsableMode(path, mode, 0o500);
    if (kind === 'file') requireUsableMode(path, mode, 0o400);
    this.restoreMode(path, mode);
  }

  /** As {@link setMode}, for a mode that the path has had before. */
  restoreMode(path: RelativePath, mode: number): void {
    const seen = this.#look(path);
    this.#refuseCollision(path);
    switch (seen.kind) {
      case 'absent':
        throw notFoundError(path);
      case 'special':
        throw specialError(path);
      case 'symlink':
        throw linkError(path);
      case 'directory': {
        const node = this.#nodes.get(path);
        const isOpaque = node?.kind === 'directory' ? node.isOpaque : this.#isHidden(path);
        this.#set(path, { kind: 'directory', mode, isOpaque, attributesFrom: seen.attributesFrom });
        return;
      }
      case 'file':
        this.#set(path, {
          kind: 'file',
          content: seen.content,
          mode,
          attributesFrom: seen.attributesFrom,
        });
    }
  }

  makeLink(path: RelativePath, target: string): void {
    requireInnerTarget(path, target);
    const seen = this.#look(path);
    if (seen.kind === 'special') throw specialError(path);
    if (seen.kind === 'file' || seen.kind === 'directory') {
      throw existsError(path, 'Remove it first.');
    }
    this.#prepareParents(path);
    this.#refuseCollision(path);
    this.#set(path, { kind: 'symlink', target, attributesFrom: undefined });
  }

  // --- from history --------------------------------------------------------------------------

  /**
   * Makes `path` exactly `image`, with the bytes, owner and attributes of what lies at `slot` below
   * the stage directory. Whatever was once on disk may come back, also with a mode, a link or a
   * name that nobody may ask for.
   *
   * @returns false, having changed nothing, when the slot does not hold that content.
   */
  async restore(
    path: RelativePath,
    image: Image,
    slot: RelativePath | undefined,
  ): Promise<boolean> {
    const seen = this.#look(path);
    if (seen.kind === 'special') throw specialError(path);
    if (image.kind === 'absent' && seen.kind === 'absent') return true;
    if (image.kind !== 'absent') this.#refuseCollision(path);
    const source = slot === undefined ? undefined : { tree: this.#options.history, path: slot };
    const node = await this.#nodeOf(image, source, path);
    if (node === undefined) return false;
    if (node.kind !== 'absent') this.#prepareParents(path);
    this.#clear(path);
    this.#set(path, node);
    return true;
  }

  /**
   * As {@link restore}, of a file whose bytes come from elsewhere. Owner and attributes are those of
   * the file that it replaces; where there is none, those of `slot`, which may be gone.
   *
   * @returns false, having changed nothing, when the bytes are not those of `image`.
   */
  async restoreContent(
    path: RelativePath,
    image: FileImage,
    { content, slot }: { readonly content: Content; readonly slot: RelativePath | undefined },
  ): Promise<boolean> {
    const seen = this.#look(path);
    if (seen.kind === 'special') throw specialError(path);
    this.#refuseCollision(path);
    const { mode, sha256 } = image;
    const staged = await this.#options.contents.add(content, mode, path);
    // guard: restored-content-hash [if false]
    if (staged.sha256 !== sha256) {
      this.#options.contents.discard(staged.name);
      return false;
    }
    const kept = slot && { tree: this.#options.history, path: slot };
    const attributesFrom = seen.kind === 'file' ? seen.attributesFrom : kept;
    this.#prepareParents(path);
    this.#clear(path);
    this.#set(path, { kind: 'file', content: staged, mode, attributesFrom });
    return true;
  }

  async #nodeOf(
    image: Image,
    attributesFrom: AttributeSource | undefined,
    path: RelativePath,
  ): Promise<StagedNode | undefined> {
    switch (image.kind) {
      case 'absent':
        return absentNode;
      case 'symlink':
        return { kind: 'symlink', target: image.target, attributesFrom };
      case 'directory':
        return { kind: 'directory', mode: image.mode, isOpaque: true, attributesFrom };
      case 'file': {
        if (attributesFrom === undefined) return undefined;
        const content = await this.#copyKept(attributesFrom, image, path);
        return content && { kind: 'file', content, mode: image.mode, attributesFrom };
      }
    }
  }

  async #copyKept(
    { tree, path: slot }: AttributeSource,
    { mode, sha256, size }: FileImage,
    path: RelativePath,
  ): Promise<StagedContent | undefined> {
    const { contents, looking } = this.#options;
    if (looking.pace.isDue()) await looking.pace.turn();
    tree.trim();
    const place = tree.locate(slot);
    if (isObstacle(place)) return undefined;
    const expected = looking.files.stat(place);
    if (expected?.kind !== 'file' || expected.size !== size) return undefined;
    const content = await contents.addFile(place, { expected, mode, path });
    if (content.sha256 === sha256) return content;
    // I5: whoever kept it open has written to it since.
    contents.discard(content.name);
    return undefined;
  }

  // --- reading -------------------------------------------------------------------------------

  /** Returns what `path` is. @throws {EngineError} `PATH_IS_LINK`, … when a parent is in the way. */
  look(path: RelativePath): Seen {
    return this.#look(path);
  }

  /** Returns the bytes of a file, `undefined` when there is nothing. */
  async read(path: RelativePath): Promise<Uint8Array | undefined> {
    const seen = this.#look(path);
    switch (seen.kind) {
      case 'absent':
        return undefined;
      case 'directory':
        throw new EngineError('PATH_IS_DIRECTORY', `${quote(path)} is a directory`, {
          path,
          hint: 'List it, or read a file in it.',
        });
      case 'symlink':
        throw linkError(path);
      case 'special':
        throw specialError(path);
      case 'file':
        break;
    }
    if (seen.content !== undefined) {
      return this.#readAll(this.#options.contents.place(seen.content.name), path);
    }
    const bytes = await this.#readAll(this.#place(path), path);
    this.#remember(path, {
      kind: 'file',
      sha256: hashContent(bytes),
      size: bytes.length,
      mode: seen.mode,
    });
    return bytes;
  }

  /** Names and kinds right below a directory (`undefined`: the root), sorted. */
  list(
    path: RelativePath | undefined,
  ): readonly { name: string; kind: Exclude<Seen['kind'], 'absent'> }[] | undefined {
    if (path !== undefined && this.#look(path).kind !== 'directory') return undefined;
    const names = new Set(this.#namesOnDisk(path));
    for (const name of this.#names.get(path ?? '') ?? []) names.add(name);
    return [...names].toSorted().flatMap((name) => {
      const { kind } = this.#look(childOf(path, name));
      return kind === 'absent' ? [] : [{ name, kind }];
    });
  }

  /** Returns what is on disk at `path`, whatever the transaction has done to it, and remembers it. */
  async onDisk(path: RelativePath): Promise<FoundImage> {
    const located = this.#options.tree.locate(path);
    if (isObstacle(located)) {
      if (located.obstacle !== 'absent') throw obstacleError(path, located);
      this.#remember(path, absentNode);
      return absentNode;
    }
    const { image } = await inspect(this.#options.looking, located, path);
    this.#remember(path, image);
    return image;
  }

  /** As {@link onDisk}; below what is no directory there is nothing. */
  async found(path: RelativePath): Promise<FoundImage> {
    this.#options.tree.trim();
    const located = this.#options.tree.locate(path);
    if (!isObstacle(located) || located.obstacle === 'other-mount') return this.onDisk(path);
    this.#remember(path, absentNode);
    return absentNode;
  }

  // --- for the planner -----------------------------------------------------------------------

  get nodes(): ReadonlyMap<RelativePath, StagedNode> {
    return this.#nodes;
  }

  /** Paths that have a node, each directory before its content. */
  sortedPaths(): readonly RelativePath[] {
    return [...this.#nodes.keys()].toSorted(comparePaths);
  }

  /** Everything below a new directory, each directory before its content. */
  *nodesBelow(path: RelativePath): Generator<[RelativePath, StagedNode], void> {
    for (const name of [...(this.#names.get(path) ?? [])].toSorted()) {
      const child = childOf(path, name);
      const node = this.#nodes.get(child);
      if (node === undefined || node.kind === 'absent') continue;
      yield [child, node];
      yield* this.nodesBelow(child);
    }
  }

  /** What the caller was shown at `path`, if it was shown anything. */
  shownAt(path: RelativePath): FoundImage | undefined {
    return this.#shown.get(path);
  }

  // --- looking -------------------------------------------------------------------------------

  #look(path: RelativePath): Seen {
    const node = this.#nodes.get(path);
    if (node !== undefined) return this.#seenNode(path, node);
    if (this.#isHidden(path)) return absentNode;
    this.#options.tree.trim();
    const located = this.#options.tree.locate(path);
    if (isObstacle(located)) {
      if (located.obstacle === 'absent') return absentNode;
      throw obstacleError(path, located);
    }
    const stat = this.#options.looking.files.stat(located);
    return stat === undefined ? absentNode : this.#seenOnDisk(path, located, stat);
  }

  #seenNode(path: RelativePath, node: StagedNode): Seen {
    if (node.kind !== 'file') return node;
    if (node.content !== undefined) return { ...node, size: node.content.size };
    const stat = this.#options.looking.files.stat(this.#place(path));
    return { ...node, size: stat?.size ?? 0 };
  }

  #seenOnDisk(path: RelativePath, place: Place, stat: Stat): Seen {
    const attributesFrom = { tree: this.#options.tree, path };
    switch (stat.kind) {
      case 'special':
        return { kind: 'special' };
      case 'directory':
        return { kind: 'directory', mode: stat.mode, attributesFrom };
      case 'symlink':
        return {
          kind: 'symlink',
          target: this.#options.looking.files.readLink(place),
          attributesFrom,
        };
      case 'file':
        return {
          kind: 'file',
          mode: stat.mode,
          size: stat.size,
          content: undefined,
          attributesFrom,
        };
    }
  }

  /** Tells whether what is on disk at `path` does not show; refuses a path below a file or link. */
  #isHidden(path: RelativePath): boolean {
    const parent = parentOf(path);
    if (parent === undefined || this.#plainParents.has(parent)) return false;
    let isHidden = false;
    for (const ancestor of ancestorsOf(path)) {
      const node = this.#nodes.get(ancestor);
      if (node === undefined) continue;
      if (node.kind === 'absent') return true;
      if (node.kind === 'directory') {
        isHidden ||= node.isOpaque;
        continue;
      }
      throw belowError(path, ancestor, node.kind);
    }
    return isHidden;
  }

  #namesOnDisk(path: RelativePath | undefined): readonly string[] {
    const { tree, looking } = this.#options;
    if (path === undefined) {
      const names = looking.files.list(tree.root).map((entry) => entry.name);
      return tree.coverNames(path, names).filter((name) => name !== engineDirectoryName);
    }
    const node = this.#nodes.get(path);
    if (node === undefined ? this.#isHidden(path) : node.kind !== 'directory' || node.isOpaque) {
      return [];
    }
    const directory = tree.directory(path);
    if (isObstacle(directory)) return [];
    const names = looking.files.list(directory).map((entry) => entry.name);
    return tree.coverNames(path, names);
  }

  /** Yields `path` and everything below it in the view, each directory before its content. */
  *#walk(path: RelativePath, seen: Seen): Generator<[RelativePath, Seen], void> {
    if (seen.kind === 'absent') return;
    yield [path, seen];
    if (seen.kind !== 'directory') return;
    for (const { name } of this.list(path) ?? []) {
      const child = childOf(path, name);
      yield* this.#walk(child, this.#look(child));
    }
  }

  // --- changing ------------------------------------------------------------------------------

  #set(path: RelativePath, node: StagedNode): void {
    if (this.#nodes.size >= changesMax) {
      throw new EngineError(
        'LIMIT_EXCEEDED',
        `one transaction changes at most ${String(changesMax)} paths`,
        { path, hint: 'Split it into several transactions.' },
      );
    }
    this.#plainParents.clear();
    this.#nodes.set(path, node);
    // Up to the root, also past directories that have no node: removing one must find this path.
    for (let at: RelativePath | undefined = path; at !== undefined; at = parentOf(at)) {
      const parent = parentOf(at) ?? '';
      const names = this.#names.get(parent);
      if (names?.has(nameOf(at)) === true) break;
      if (names === undefined) this.#names.set(parent, new Set([nameOf(at)]));
      else names.add(nameOf(at));
    }
  }

  #prepareParents(path: RelativePath): void {
    const parent = parentOf(path);
    if (parent === undefined || this.#plainParents.has(parent)) return;
    for (const ancestor of ancestorsOf(path)) {
      const seen = this.#look(ancestor);
      if (seen.kind === 'absent') this.#setNewDirectory(ancestor, undefined);
      else if (seen.kind !== 'directory') throw this.#parentError(path, ancestor, seen.kind);
    }
    if (!this.#nodes.has(parent) && !this.#isHidden(parent)) this.#plainParents.add(parent);
  }

  #parentError(path: RelativePath, ancestor: RelativePath, kind: Seen['kind']): EngineError {
    if (this.#nodes.has(ancestor) && kind !== 'special') return belowError(path, ancestor, kind);
    const obstacle = kind === 'symlink' ? 'symlink' : 'file';
    return obstacleError(path, { obstacle, at: ancestor });
  }

  /** A new directory in one that hands its group down does so too. */
  #setNewDirectory(path: RelativePath, mode: number | undefined): void {
    const parent = parentOf(path);
    const seen = parent === undefined ? undefined : this.#look(parent);
    const inherited = seen?.kind === 'directory' ? seen.mode & setGroupBit : 0;
    this.#set(path, {
      kind: 'directory',
      mode: (mode ?? this.#options.directoryMode) | inherited,
      isOpaque: true,
      attributesFrom: undefined,
    });
  }

  /**
   * For a path that is about to change: the journal knows each by one spelling, that of the disk,
   * and the disk would find it by any (I1).
   */
  #refuseCollision(path: RelativePath): void {
    if (!this.#options.foldsNames) return;
    for (const ancestor of ancestorsOf(path)) this.#refuseOtherSpelling(ancestor);
    this.#refuseOtherSpelling(path);
  }

  #refuseOtherSpelling(path: RelativePath): void {
    const name = nameOf(path);
    const folded = foldSegment(name);
    const other = this.list(parentOf(path))?.find(
      (entry) => entry.name !== name && foldSegment(entry.name) === folded,
    );
    if (other === undefined) return;
    throw new EngineError(
      'PATH_COLLISION',
      `${quote(path)} and ${quote(other.name)} are one name on this file system`,
      { path, hint: 'Remove the other one in a transaction before, or choose another name.' },
    );
  }

  /** Forgets every node at and below `path`, with the contents that were staged for them. */
  #clear(path: RelativePath): void {
    for (const content of this.#detach(path)) this.#discard(content);
  }

  /** Forgets every node at and below `path`; returns their staged contents. */
  #detach(path: RelativePath, contents: StagedContent[] = []): readonly StagedContent[] {
    const node = this.#nodes.get(path);
    if (node?.kind === 'file' && node.content !== undefined) contents.push(node.content);
    this.#nodes.delete(path);
    this.#plainParents.clear();
    for (const name of this.#names.get(path) ?? []) this.#detach(childOf(path, name), contents);
    this.#names.delete(path);
    return contents;
  }

  #dropContent(path: RelativePath): void {
    const node = this.#nodes.get(path);
    if (node?.kind === 'file' && node.content !== undefined) this.#discard(node.content);
  }

  #discard(content: StagedContent): void {
    this.#options.contents.discard(content.name);
  }

  /** Makes a node for what renaming brings along: contents on disk are copied to the stage. */
  async #takeAlong(path: RelativePath, seen: Seen): Promise<StagedNode> {
    const { looking, contents } = this.#options;
    if (looking.pace.isDue()) await looking.pace.turn();
    switch (seen.kind) {
      case 'absent':
        return absentNode;
      case 'special':
        throw specialError(path);
      case 'symlink':
        requireTextTarget(path, seen.target);
        return seen;
      case 'directory':
        return { ...seen, isOpaque: true };
      case 'file': {
        const { mode, attributesFrom } = seen;
        if (seen.content !== undefined) {
          return { kind: 'file', content: seen.content, mode, attributesFrom };
        }
        const place = this.#place(path);
        const expected = looking.files.stat(place);
        if (expected === undefined) throw notFoundError(path);
        const content = await contents.addFile(place, { expected, mode, path });
        const { sha256, size } = content;
        this.#remember(path, { kind: 'file', sha256, size, mode: expected.mode });
        return { kind: 'file', content, mode, attributesFrom };
      }
    }
  }

  #place(path: RelativePath): Place {
    const located = this.#options.tree.locate(path);
    if (isObstacle(located)) throw obstacleError(path, located);
    return located;
  }

  async #readAll(place: Place, path: RelativePath): Promise<Uint8Array> {
    const { files, pace } = this.#options.looking;
    try {
      const file = files.openForReading(place);
      try {
        const expected = files.statFile(file).size;
        // One byte more than expected: a read that does not fill the buffer has met the end.
        const buffer = Buffer.allocUnsafe(expected + 1);
        const isSmall = expected <= smallContentBytesMax;
        const count = isSmall ? files.readSync(file, buffer) : await files.read(file, buffer);
        pace.refuseStopped();
        if (count === expected) return buffer.subarray(0, count);
        return await this.#readRest(file, buffer.subarray(0, count));
      } finally {
        files.closeFile(file);
      }
    } catch (error) {
      throw fromSystemError(error, 'read', path);
    }
  }

  /** For a file that changed its size while it was read, or is larger than one read can be. */
  async #readRest(file: OpenFile, begun: Uint8Array): Promise<Uint8Array> {
    const { files, pace } = this.#options.looking;
    const pieces = [begun];
    for (;;) {
      const buffer = Buffer.allocUnsafe(files.statFile(file).size + 1);
      const count = await files.read(file, buffer);
      if (count === 0) return Buffer.concat(pieces);
      pieces.push(buffer.subarray(0, count));
      pace.refuseStopped();
    }
  }

  /** @throws {EngineError} `DRIFT_DETECTED` when the caller was shown something else before. */
  #remember(path: RelativePath, image: FoundImage): void {
    const shown = this.#shown.get(path);
    // guard: view-drift [if false]
    if (shown !== undefined && !isSameImage(shown, image)) {
      throw new EngineError('DRIFT_DETECTED', `${quote(path)} changed while the transaction ran`, {
        path,
        hint: 'Another program writes there; try again.',
      });
    }
    this.#shown.set(path, image);
  }
}

function keepAttributes(node: StagedNode, before: Seen | undefined): StagedNode {
  if (node.kind === 'absent' || before === undefined || before.kind !== node.kind) return node;
  return { ...node, attributesFrom: before.attributesFrom };
}
