import type { Artifact } from '../artifact.js';
import { CollectionError } from '../errors.js';
import { fetchSource, resolveVersion } from '../sources/fetch-source.js';
import type { FetchedArtifact, FetchOptions } from '../sources/fetched-artifact.js';
import { parseSource } from '../sources/parse-source.js';
import type { GitSource, ResolvedVersion, Source } from '../sources/source.js';
import { openWorkspace, type Workspace, type WorkspaceOptions } from '../sources/workspace.js';

export interface FetcherOptions
  extends Omit<FetchOptions, 'workspace'>,
    Pick<WorkspaceOptions, 'home' | 'pid' | 'native'> {}

/** Fetches artifacts into a workspace that is gone when this is disposed of. Made by {@link openFetcher}. */
export class Fetcher implements AsyncDisposable {
  readonly #options: FetchOptions;
  readonly #workspace: Workspace;
  readonly #resolved = new Map<string, Promise<ResolvedVersion>>();

  constructor(options: Omit<FetchOptions, 'workspace'>, workspace: Workspace) {
    this.#options = { ...options, workspace };
    this.#workspace = workspace;
  }

  /** Asks what a version stands for now; once for all artifacts of one repository. */
  async resolve(source: GitSource): Promise<ResolvedVersion> {
    const name = `${source.url} ${source.version}`;
    const known = this.#resolved.get(name) ?? resolveVersion(source, this.#options);
    this.#resolved.set(name, known);
    return known;
  }

  /** @throws as `fetchSource` does. */
  async fetch(source: Source): Promise<FetchedArtifact> {
    return fetchSource(source, this.#options);
  }

  /** Makes a directory that lives as long as this. */
  makeDirectory(): string {
    return this.#workspace.makeDirectory();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workspace[Symbol.asyncDispose]();
  }
}

/** Also removes what killed programs left in the home. @throws as `openWorkspace` does. */
export async function openFetcher(options: FetcherOptions): Promise<Fetcher> {
  const { home, pid, native } = options;
  return new Fetcher(options, await openWorkspace({ home, pid, native }));
}

/**
 * Returns where an artifact is updated from, at the version that its manifest asks for.
 *
 * @throws {CollectionError} `ARTIFACT_UNLINKED` when it came from nowhere, `SOURCE_INVALID`.
 */
export function sourceOf({ name, type, upstream, versionSpec }: Artifact): GitSource {
  if (upstream === undefined) throw unlinked(name, type);
  // An upstream is a URL: nothing in it depends on where we are.
  const source = parseSource(upstream, { workingDirectory: '/', userHome: '/' });
  if (source.kind === 'local') throw unlinked(name, type);
  return { ...source, version: versionSpec ?? 'latest' };
}

function unlinked(name: string, type: string): CollectionError {
  return new CollectionError('ARTIFACT_UNLINKED', `${type} ${name} has no upstream`, {
    path: `${type}/${name}`,
    hint: 'It was added from this machine: add it again with --force to bring in another version.',
  });
}
