import path from 'node:path';
import { type FoundEntries, type FoundEntry, isLeftOut } from './artifact-entries.js';
import { makeDirectory, makeUniqueDirectory, writeText } from './disk.js';
import { GitFailure } from './git-failure.js';
import {
  DamagedObject,
  type GitObject,
  parseBatch,
  parseTree,
  readWhole,
  targetOf,
  type TreeEntry,
} from './git-objects.js';
import { type GitSettings, runGit, streamGit } from './git-program.js';
import { protocolsFor } from './git-url.js';
import { artifactDepthMax, artifactEntriesMax } from './limits.js';
import { type RetryOptions, retryTransient } from './retry.js';

/*
 * Objects of one remote repository, in a directory that any number of processes share: objects are
 * named by their content and only ever added. Everything else that git keeps (configuration, refs,
 * what is shallow) is made anew in the workspace for each call of git, so nobody waits for anybody.
 *
 * 1. Commit and trees are fetched without history and without file contents.
 * 2. The artifact is listed from the trees.
 * 3. The contents that are missing are fetched in one go.
 * 4. Each object is hashed as it is read. One that is wrong or missing is a `DamagedObject`.
 */

export interface GitRepositoryOptions extends GitSettings, RetryOptions {
  readonly url: string;
  /** Where git directories are made. */
  readonly workspace: string;
  readonly objectDirectory: string;
}

export class GitRepository {
  readonly #options: GitRepositoryOptions;

  constructor(options: GitRepositoryOptions) {
    this.#options = options;
  }

  /** Names and targets of the refs that match, and of what annotated tags lead to (`…^{}`). */
  async listRefs(patterns: readonly string[]): Promise<ReadonlyMap<string, string>> {
    // In a git directory of ours, or a repository around the working directory would have a say.
    const answer = await this.#run(['ls-remote', '--quiet', '--', this.#options.url, ...patterns]);
    const lines = answer.toString('utf8').split('\n');
    const refs = lines.map((line) => /^([0-9a-f]{40,64})\t(.+)$/.exec(line));
    return new Map(refs.flatMap((ref) => (ref === null ? [] : [[ref[2] ?? '', ref[1] ?? '']])));
  }

  /** Fetches one commit with its trees; with everything from a server that cannot filter. */
  async fetchCommit(sha: string, filter = '--filter=blob:none'): Promise<void> {
    try {
      await this.#fetch(sha, ['--depth=1', filter, 'origin', sha]);
    } catch (error) {
      if (!isUnadvertised(error)) throw error;
      // An old server sends no commit by name: what its branches and tags lead to, then.
      await this.#fetch(sha, [wholeHistory, filter, 'origin', ...everyRef]);
      if ((await this.#lookUp([sha])).has(sha)) return;
      throw new GitFailure('version-not-found', `no branch or tag leads to ${sha}`);
    }
  }

  /** Returns the full names of the commits that begin with `prefix`, on any branch or tag. */
  async findCommits(prefix: string): Promise<readonly string[]> {
    const git = this.#makeGitDirectory(prefix);
    await this.#fetch(prefix, ['--filter=tree:0', 'origin', ...everyRef], git);
    const found = await this.#run(['rev-parse', `--disambiguate=${prefix}`], { git });
    const oids = found
      .toString('latin1')
      .split('\n')
      .filter((oid) => oid !== '');
    const types = await this.#lookUp(oids);
    return oids.filter((oid) => types.get(oid) === 'commit');
  }

  /** Fetches those contents of `commit` that are not here. */
  async ensureContents(oids: readonly string[], commit: string): Promise<void> {
    const types = await this.#lookUp(oids);
    const missing = [...new Set(oids)].filter((oid) => !types.has(oid));
    if (missing.length === 0) return;
    try {
      const args = ['--filter=blob:none', '--stdin', 'origin'];
      await this.#fetch(commit, args, undefined, missing);
    } catch (error) {
      if (!isUnadvertised(error)) throw error;
      // An old server sends no content by name either.
      await this.fetchCommit(commit, '--no-filter');
    }
  }

  /** Yields the objects in the order of `oids`. @throws {DamagedObject} */
  async *read(oids: readonly string[]): AsyncGenerator<GitObject, void, void> {
    if (oids.length === 0) return;
    const input = oids.map((oid) => `${oid}\n`).join('');
    const args = ['cat-file', '--batch', '--buffer'];
    try {
      yield* parseBatch(oids, streamGit(args, this.#reading(oids[0] ?? '', input)));
    } catch (error) {
      throw asDamage(error, oids[0] ?? '');
    }
  }

  /** Follows tags to their commit and returns both. @throws {DamagedObject} */
  async readCommit(oid: string): Promise<{ commit: string; tree: string } | undefined> {
    let at = oid;
    for (let hops = 0; hops < 10; hops += 1) {
      for await (const object of this.read([at])) {
        const { type } = object;
        const content = await readWhole(object);
        if (type === 'commit') return { commit: at, tree: targetOf(at, content) };
        if (type !== 'tag') return undefined;
        at = targetOf(at, content);
      }
    }
    return undefined;
  }

  /** @throws {DamagedObject} */
  async readTree(oid: string): Promise<readonly TreeEntry[]> {
    for await (const object of this.read([oid])) return parseTree(oid, await readWhole(object));
    throw new DamagedObject(oid, 'is missing');
  }

  /** Lists everything below the tree `root`, one level after the other. @throws {DamagedObject} */
  async listEntries(root: string, commit: string): Promise<FoundEntries> {
    const entries: FoundEntry[] = [];
    const leftOut: string[] = [];
    const links: { readonly path: string; readonly oid: string }[] = [];
    let level: readonly { readonly path: string; readonly oid: string }[] = [
      { path: '', oid: root },
    ];
    for (let depth = 0; level.length > 0 && depth <= artifactDepthMax; depth += 1) {
      const next: { path: string; oid: string }[] = [];
      let index = 0;
      for await (const object of this.read(level.map(({ oid }) => oid))) {
        const prefix = level[index]?.path ?? '';
        index += 1;
        for (const child of parseTree(object.oid, await readWhole(object))) {
          if (isLeftOut(child.name)) {
            leftOut.push(prefix + child.name);
            continue;
          }
          if (entries.length > artifactEntriesMax) continue;
          const entry = entryOf(child, prefix + child.name);
          if (entry === 'link') links.push({ path: prefix + child.name, oid: child.oid });
          else entries.push(entry);
          if (child.mode !== '40000') continue;
          next.push({ path: `${prefix}${child.name}/`, oid: child.oid });
        }
      }
      level = next;
    }
    return { entries: [...entries, ...(await this.#readLinks(links, commit))], leftOut };
  }

  async #readLinks(
    links: readonly { readonly path: string; readonly oid: string }[],
    commit: string,
  ): Promise<readonly FoundEntry[]> {
    const oids = links.map(({ oid }) => oid);
    await this.ensureContents(oids, commit);
    const entries: FoundEntry[] = [];
    let index = 0;
    for await (const object of this.read(oids)) {
      const target = (await readWhole(object)).toString('utf8');
      entries.push({ kind: 'link', path: links[index]?.path ?? '', target });
      index += 1;
    }
    return entries;
  }

  async #lookUp(oids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (oids.length === 0) return new Map();
    const input = oids.map((oid) => `${oid}\n`).join('');
    const reading = this.#reading(oids[0] ?? '', input);
    try {
      const answer = await runGit(['cat-file', '--batch-check', '--buffer'], reading);
      const lines = answer.toString('latin1').split('\n');
      const found = lines.map((line) => /^([0-9a-f]+) (commit|tree|blob|tag) /.exec(line));
      return new Map(found.flatMap((row) => (row === null ? [] : [[row[1] ?? '', row[2] ?? '']])));
    } catch (error) {
      throw asDamage(error, oids[0] ?? '');
    }
  }

  /** Reading never asks the remote: its git directory knows none, and no protocol is allowed. */
  #reading(oid: string, input: string): Parameters<typeof runGit>[1] {
    const { environment, signal, stallMs, objectDirectory } = this.#options;
    const gitDirectory = this.#makeGitDirectory(oid, false);
    return { environment, signal, stallMs, objectDirectory, gitDirectory, input };
  }

  async #fetch(
    oid: string,
    args: readonly string[],
    git: string = this.#makeGitDirectory(oid),
    wanted: readonly string[] = [],
  ): Promise<void> {
    makeDirectory(this.#options.objectDirectory);
    const input = wanted.map((name) => `${name}\n`).join('');
    await this.#run([...fetching, ...args], { git, input });
  }

  async #run(
    args: readonly string[],
    { git = this.#makeGitDirectory(''), input = '' }: { git?: string; input?: string } = {},
  ): Promise<Buffer> {
    const { url, environment, signal, stallMs, objectDirectory, onProgress } = this.#options;
    const run = {
      environment,
      signal,
      stallMs,
      objectDirectory,
      input,
      gitDirectory: git,
      protocols: protocolsFor(url),
      onProgress: (line: string) => onProgress?.({ step: 'fetch', message: line }),
    };
    const command = ['-c', `remote.origin.url=${url}`, ...args];
    return retryTransient(() => runGit(command, run), this.#options);
  }

  /** `oid` tells the kind of names that the repository has. */
  #makeGitDirectory(oid: string, isPartial = true): string {
    const directory = makeUniqueDirectory(path.join(this.#options.workspace, 'git-'));
    for (const name of ['refs', 'objects']) makeDirectory(path.join(directory, name));
    writeText(path.join(directory, 'HEAD'), 'ref: refs/heads/none\n');
    const format = oid.length === 64 ? '\tobjectFormat = sha256\n' : '';
    const partial = isPartial ? '\tpartialClone = origin\n' : '';
    const remote = isPartial
      ? '[remote "origin"]\n\tpromisor = true\n\tpartialclonefilter = blob:none\n'
      : '';
    writeText(
      path.join(directory, 'config'),
      `[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n${format}${partial}${remote}`,
    );
    return directory;
  }
}

const everyRef = ['+refs/heads/*:refs/fetched/heads/*', '+refs/tags/*:refs/fetched/tags/*'];
/** Given as a depth, or git would skip what it believes to have: trees without their contents. */
const wholeHistory = '--depth=2147483647';
const fetching = [
  'fetch',
  '--progress',
  '--no-tags',
  '--no-write-fetch-head',
  '--no-auto-maintenance',
  '--recurse-submodules=no',
];

/** What a name of a tree is in an artifact, at the path `at` there; where links lead is read later. */
export function entryOf({ mode, oid, isText }: TreeEntry, at: string): FoundEntry | 'link' {
  if (!isText) return { kind: 'refused', path: at, why: 'its name is not UTF-8' };
  switch (mode) {
    case '40000':
      return { kind: 'directory', path: at };
    case '120000':
      return 'link';
    case '160000':
      return { kind: 'refused', path: at, why: 'it is a submodule, another repository' };
    default: {
      const isExecutable = (Number.parseInt(mode, 8) & 0o111) !== 0;
      return {
        kind: 'file',
        path: at,
        isExecutable,
        hasSpecialBits: false,
        bytes: undefined,
        content: oid,
      };
    }
  }
}

function isUnadvertised(error: unknown): boolean {
  return error instanceof GitFailure && error.kind === 'unadvertised';
}

/** A git that cannot read what is here says that the cache is damaged. */
function asDamage(error: unknown, oid: string): unknown {
  if (!(error instanceof GitFailure) || error.kind === 'transient') return error;
  return new DamagedObject(oid, `cannot be read: ${error.message}`);
}
