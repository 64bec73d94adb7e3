import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';

/*
 * Real git repositories to fetch from: over file://, and over HTTP by git's own server program.
 */

const toDispose: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const dispose of toDispose.splice(0).toReversed()) await dispose();
});

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-sources-'));
  toDispose.push(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** What git inherits in tests: nothing of the person's own settings. */
export const gitEnvironment: Readonly<Record<string, string | undefined>> = {
  PATH: process.env['PATH'],
  HOME: tmpdir(),
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

/** A file's content; or a link, or an executable file. */
export type Planted = string | { readonly link: string } | { readonly executable: string };

function entryOf(planted: Planted): readonly [mode: string, content: string] {
  if (typeof planted === 'string') return ['100644', planted];
  return 'link' in planted ? ['120000', planted.link] : ['100755', planted.executable];
}

/** As `git fast-import` takes it. */
function dataOf(content: string): string {
  return `data ${String(Buffer.byteLength(content))}\n${content}\n`;
}

/** A repository that others fetch from. */
export class Upstream {
  /** Holds `<name>.git`. */
  readonly directory: string = temporaryDirectory();
  readonly name: string;

  constructor(options: { readonly name?: string; readonly format?: 'sha1' | 'sha256' } = {}) {
    this.name = options.name ?? 'skills';
    mkdirSync(this.path);
    const format = `--object-format=${options.format ?? 'sha1'}`;
    this.git('init', '-q', '-b', 'main', '--template=', format, this.path);
    appendFileSync(path.join(this.path, '.git/config'), '[uploadpack]\n\tallowFilter = true\n');
  }

  get path(): string {
    return path.join(this.directory, `${this.name}.git`);
  }

  get url(): string {
    return `file://${this.path}`;
  }

  /** Runs git in it and returns what it prints. */
  git(...args: readonly string[]): string {
    return this.feed('', ...args);
  }

  feed(input: string | Uint8Array, ...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('git', [...args], {
      cwd: this.path,
      input,
      encoding: 'utf8',
      env: {
        ...gitEnvironment,
        GIT_AUTHOR_NAME: 'A',
        GIT_AUTHOR_EMAIL: 'a@example.com',
        GIT_COMMITTER_NAME: 'A',
        GIT_COMMITTER_EMAIL: 'a@example.com',
      },
    });
    if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  /** Commits exactly these files to the current branch and returns the commit. */
  commit(files: Readonly<Record<string, Planted>>): string {
    // One process, where git's own commands for it are a dozen.
    const branch = this.#read('HEAD').replace('ref: ', '');
    const tip = existsSync(path.join(this.path, '.git', branch)) ? this.#read(branch) : undefined;
    const stream = [
      `commit ${branch}\nmark :1\ncommitter A <a@example.com> now\n${dataOf('change')}`,
      tip === undefined ? '' : `from ${tip}\n`,
      'deleteall\n',
      ...Object.entries(files).map(([name, planted]) => {
        const [mode, content] = entryOf(planted);
        return `M ${mode} inline ${JSON.stringify(name)}\n${dataOf(content)}`;
      }),
      'get-mark :1\ndone\n',
    ];
    return this.feed(stream.join(''), 'fast-import', '--quiet', '--done', '--date-format=now');
  }

  /** A file of git's, without the line's end. */
  #read(name: string): string {
    return readFileSync(path.join(this.path, '.git', name), 'utf8').trim();
  }

  /** Commits a tree and returns the commit. */
  commitTree(tree: string): string {
    const head = spawnSync('git', ['rev-parse', '--verify', '-q', 'HEAD'], {
      cwd: this.path,
      encoding: 'utf8',
    }).stdout.trim();
    const parents = head === '' ? [] : ['-p', head];
    const commit = this.git('commit-tree', tree, '-m', 'change', ...parents);
    this.git('update-ref', 'HEAD', commit);
    return commit;
  }

  /** Writes a tree that git itself would never make, and returns its name. */
  rawTree(
    entries: readonly (readonly [mode: string, name: string | Buffer, oid: string])[],
  ): string {
    const bytes = entries.flatMap(([mode, name, oid]) => [
      Buffer.from(`${mode} `),
      Buffer.from(name),
      Buffer.from([0]),
      Buffer.from(oid, 'hex'),
    ]);
    const args = ['hash-object', '-t', 'tree', '--literally', '-w', '--stdin'];
    return this.feed(Buffer.concat(bytes), ...args);
  }

  blob(content: string): string {
    return this.feed(content, 'hash-object', '-w', '--stdin');
  }
}

/** Answers a request itself and returns true, or leaves it to git. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface GitServer {
  /** URL of a repository. */
  readonly urlOf: (upstream: Upstream) => string;
  /** `METHOD path` of each request so far. */
  readonly requests: readonly string[];
}

/** Serves the repositories of `directory` over HTTP on this machine until the test ends. */
export async function serveGit(
  directory: string,
  options: {
    readonly intercept?: Intercept;
    /** Answers as a server of before 2018. */
    readonly isOld?: boolean;
  } = {},
): Promise<GitServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    if (options.intercept?.(request, response) !== true) {
      answerWithGit(directory, request, response, options.isOld === true);
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  toDispose.push(() => close(server));
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${String(port)}`;
  return { urlOf: (upstream) => `${origin}/${upstream.name}.git`, requests };
}

function answerWithGit(
  directory: string,
  request: IncomingMessage,
  response: ServerResponse,
  isOld: boolean,
): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const header = (name: string): string => String(request.headers[name] ?? '');
  const git = spawn('git', ['http-backend'], {
    env: {
      ...gitEnvironment,
      GIT_PROJECT_ROOT: directory,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      ...(isOld ? {} : { GIT_PROTOCOL: header('git-protocol') }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // A client that is killed hangs up.
  git.stdin.on('error', () => undefined);
  request.pipe(git.stdin);
  let head = Buffer.alloc(0);
  git.stdout.on('data', (piece: Buffer) => {
    if (response.headersSent) {
      response.write(piece);
      return;
    }
    head = Buffer.concat([head, piece]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    for (const line of head.toString('latin1', 0, end).split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.flushHeaders();
    response.write(head.subarray(end + 4));
  });
  git.once('close', () => response.end());
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeAllConnections();
  });
}

/** Writes files below `directory`. */
export function plant(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    const location = path.join(directory, name);
    mkdirSync(path.dirname(location), { recursive: true });
    writeFileSync(location, content);
  }
}
