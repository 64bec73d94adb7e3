import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type FetchedArtifact,
  type FetchOptions,
  fetchSource,
  openWorkspace,
  parseSource,
  type Source,
  type Workspace,
} from '../../../src/collection/index.js';
import { gitEnvironment, temporaryDirectory } from '../../support/git-upstream.js';

/** A home with a workspace, as a program that fetches has it. */
export class Fetching implements AsyncDisposable {
  readonly home: string = temporaryDirectory();
  readonly workspace: Workspace;
  readonly progress: string[] = [];

  static async open(): Promise<Fetching> {
    const home = temporaryDirectory();
    return new Fetching(home, await openWorkspace({ home, pid: process.pid }));
  }

  private constructor(home: string, workspace: Workspace) {
    this.home = home;
    this.workspace = workspace;
  }

  get cache(): string {
    return path.join(this.home, 'cache', 'git');
  }

  options(more: Partial<FetchOptions> = {}): FetchOptions {
    return {
      cache: this.cache,
      workspace: this.workspace,
      environment: gitEnvironment,
      now: Date.now,
      patience: { pauseMs: 1 },
      onProgress: ({ step, message }) => this.progress.push(`${step}: ${message}`),
      ...more,
    };
  }

  fetch(source: Source | string, more: Partial<FetchOptions> = {}): Promise<FetchedArtifact> {
    return fetchSource(typeof source === 'string' ? read(source) : source, this.options(more));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.workspace[Symbol.asyncDispose]();
  }
}

export function read(text: string): Source {
  return parseSource(text, { workingDirectory: '/nowhere', userHome: '/nowhere' });
}

/** Every path below `directory` with its content; `*` marks an executable file, `/` a directory. */
export function filesIn(directory: string): Readonly<Record<string, string>> {
  const found = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted();
  return Object.fromEntries(
    found.map((name) => {
      const location = path.join(directory, name);
      const stat = lstatSync(location);
      if (stat.isDirectory()) return [`${name}/`, ''];
      if (!stat.isFile()) return [name, 'not a file'];
      return [`${name}${(stat.mode & 0o100) === 0 ? '' : '*'}`, readFileSync(location, 'utf8')];
    }),
  );
}
