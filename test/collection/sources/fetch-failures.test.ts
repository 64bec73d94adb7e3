import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openWorkspace } from '../../../src/collection/index.js';
import { classifyGitFailure } from '../../../src/collection/sources/git-failure.js';
import {
  gitEnvironment,
  type GitServer,
  type Intercept,
  plant,
  serveGit,
  temporaryDirectory,
  Upstream,
} from '../../support/git-upstream.js';
import { Fetching, filesIn } from './fetching.js';
import { isExhaustive } from '../../support/extent.js';
import { argumentsFor } from '../../support/programs.js';

interface Served {
  readonly source: string;
  readonly server: GitServer;
}

async function serveSkill(intercept?: Intercept): Promise<Served> {
  const upstream = new Upstream();
  upstream.commit({ 'a/SKILL.md': 'skill', 'b.md': 'other' });
  const server = await serveGit(upstream.directory, intercept === undefined ? {} : { intercept });
  return { source: `${server.urlOf(upstream)}//a`, server };
}

/** Does `fail` to the request of that number, the first one being 1. */
function failingOnce(number: number, fail: (response: ServerResponse) => void): Intercept {
  let requests = 0;
  return (_, response) => {
    requests += 1;
    if (requests === number) fail(response);
    return requests === number;
  };
}

const answering = (status: number) => (response: ServerResponse) => {
  response.writeHead(status).end('no');
};

describe('a failure that passes is tried again, whichever request it meets', () => {
  test.each<[string, number, (response: ServerResponse) => void]>([
    ['a 503', 1, answering(503)],
    // On a connection that it used before, the HTTP library tries again by itself.
    ['a dropped connection', 0, (response) => response.destroy()],
    [
      'an answer that breaks off',
      1,
      (response) => {
        response.writeHead(200, { 'content-length': '100000' });
        response.write('001e# service=git-upload-pack\n');
        setImmediate(() => response.destroy());
      },
    ],
  ])('%s', async (_, waitsMin, fail) => {
    let number = 1;
    for (; ; number += isExhaustive ? 1 : 3) {
      const { source, server } = await serveSkill(failingOnce(number, fail));
      await using fetching = await Fetching.open();
      await using artifact = await fetching.fetch(source);
      expect(filesIn(artifact.path)).toEqual({ 'SKILL.md': 'skill' });
      const waits = fetching.progress.filter((line) => line.startsWith('wait: try 1 of 4 failed'));
      if (server.requests.length < number) break;
      expect(waits.length, `request ${String(number)}`).toBeGreaterThanOrEqual(waitsMin);
      expect(waits.length, `request ${String(number)}`).toBeLessThanOrEqual(1);
    }
    expect(number).toBeGreaterThan(4);
  });
});

test('a failure that does not pass ends after some tries', async () => {
  const { source, server } = await serveSkill((_, response) => {
    answering(503)(response);
    return true;
  });
  await using fetching = await Fetching.open();
  await expect(fetching.fetch(source)).rejects.toMatchObject({
    code: 'FETCH_FAILED',
    message: expect.stringContaining('503') as unknown,
    path: source,
  });
  expect(server.requests).toHaveLength(4);
  await expect(fetching.fetch(source, { patience: { triesMax: 1 } })).rejects.toThrow('503');
  expect(server.requests).toHaveLength(5);
});

test.each([
  [401, 'SOURCE_DENIED'],
  [403, 'SOURCE_DENIED'],
  [404, 'SOURCE_NOT_FOUND'],
  [410, 'SOURCE_NOT_FOUND'],
])('a %i is final at once: %s', async (status, code) => {
  const { source, server } = await serveSkill((_, response) => {
    answering(status)(response);
    return true;
  });
  await using fetching = await Fetching.open();
  await expect(fetching.fetch(source)).rejects.toMatchObject({ code });
  expect(server.requests).toHaveLength(1);
  expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
});

test('a server that says nothing counts as a failure that may pass', async () => {
  const { source, server } = await serveSkill(() => true);
  await using fetching = await Fetching.open();
  const patience = { triesMax: 2, pauseMs: 1 };
  await expect(fetching.fetch(source, { stallMs: 500, patience })).rejects.toMatchObject({
    code: 'FETCH_FAILED',
    message: expect.stringContaining('git said nothing for 0.5 s') as unknown,
  });
  expect(server.requests.length).toBeLessThanOrEqual(2);
  expect(fetching.progress.filter((line) => line.startsWith('wait'))).toHaveLength(1);
});

describe('a fetch that is stopped', () => {
  test.each([1, 3])('while git waits for the answer to request %i', async (number) => {
    const stop = new AbortController();
    let hungUp: Promise<unknown> = Promise.resolve();
    const { source } = await serveSkill(
      failingOnce(number, (response) => {
        hungUp = once(response, 'close');
        stop.abort();
      }),
    );
    await using fetching = await Fetching.open();
    await expect(fetching.fetch(source, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    // Only when git has ended, with its helper; and not because it stalled.
    await hungUp;
    expect(fetching.progress.filter((line) => line.startsWith('wait'))).toEqual([]);
    expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
  });

  test('while it waits for the next try', async () => {
    const stop = new AbortController();
    const { source, server } = await serveSkill(failingOnce(1, answering(503)));
    await using fetching = await Fetching.open();
    const fetched = fetching.fetch(source, {
      signal: stop.signal,
      patience: { pauseMs: 2 ** 30 },
      onProgress: ({ step }) => {
        if (step === 'wait') setImmediate(() => stop.abort());
      },
    });
    await expect(fetched).rejects.toMatchObject({ code: 'ABORTED' });
    expect(server.requests).toHaveLength(1);
  });

  test('before it began', async () => {
    const { source, server } = await serveSkill();
    await using fetching = await Fetching.open();
    const fetched = fetching.fetch(source, { signal: AbortSignal.abort() });
    await expect(fetched).rejects.toMatchObject({ code: 'ABORTED' });
    expect(server.requests).toEqual([]);
  });
});

test('a fetch that is killed leaves a workspace that the next one sweeps, and a usable cache', async () => {
  for (let number = 1; ; number += isExhaustive ? 1 : 3) {
    let requests = 0;
    let hang: (request: IncomingMessage) => void = () => undefined;
    const hung = new Promise<IncomingMessage>((resolve) => {
      hang = resolve;
    });
    const { source, server } = await serveSkill((request) => {
      requests += 1;
      if (requests === number) hang(request);
      return requests === number;
    });
    const home = temporaryDirectory();
    const child = path.join(import.meta.dirname, '../../support/fetch-child.ts');
    const fetcher = spawn(process.execPath, [...argumentsFor(child), home, source], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...gitEnvironment },
    });
    let output = '';
    fetcher.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = once(fetcher, 'close');
    const request = await Promise.race([hung, ended.then(() => undefined)]);
    if (request === undefined) {
      // It made fewer requests than that: every one of them was the last one once.
      expect(output).toMatch(/\n[0-9a-f]{40}\n$/);
      break;
    }
    fetcher.kill('SIGKILL');
    await ended;
    const left = output.trim();
    expect(existsSync(path.join(left, 'lock'))).toBe(true);
    // Its git waits on; it ends when the server hangs up.
    request.socket.destroy();
    await using workspace = await openWorkspace({ home, pid: process.pid });
    expect(existsSync(left)).toBe(false);
    await using fetching = await Fetching.open();
    const cache = path.join(home, 'cache/git');
    await using artifact = await fetching.fetch(source, { cache, workspace });
    expect(filesIn(artifact.path)).toEqual({ 'SKILL.md': 'skill' });
    expect(server.requests.length).toBeGreaterThan(number);
  }
});

test('without git only local sources work', async () => {
  const upstream = new Upstream();
  upstream.commit({ 'a/SKILL.md': 'skill' });
  await using fetching = await Fetching.open();
  const environment = { ...gitEnvironment, PATH: fetching.home };
  await expect(fetching.fetch(upstream.url, { environment })).rejects.toMatchObject({
    code: 'GIT_MISSING',
    hint: expect.stringContaining('Install git') as unknown,
  });
});

test('a server cannot send git to another kind of place', async () => {
  const other = new Upstream();
  other.commit({ 'a/SKILL.md': 'private' });
  for (const target of [other.url, 'ext::sh -c true']) {
    const { source } = await serveSkill((request, response) => {
      const tail = request.url?.replace('/skills.git', '') ?? '';
      response.writeHead(302, { location: `${target}${tail}` }).end();
      return true;
    });
    await using fetching = await Fetching.open();
    await expect(fetching.fetch(source, { patience: { triesMax: 1 } })).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:FETCH_FAILED|SOURCE_DENIED)$/) as unknown,
    });
  }
});

test('a setting of the person cannot send git over what is not encrypted', async () => {
  const { source, server } = await serveSkill();
  await using fetching = await Fetching.open();
  const settings = path.join(fetching.home, 'gitconfig');
  const target = source.replace(/\/\/a$/, '');
  plant(fetching.home, {
    gitconfig: `[url "${target}"]\n\tinsteadOf = https://github.com/owner/repo.git\n`,
  });
  const environment = { ...gitEnvironment, GIT_CONFIG_GLOBAL: settings };
  await expect(fetching.fetch('owner/repo/a', { environment })).rejects.toMatchObject({
    code: 'SOURCE_DENIED',
    message: expect.stringContaining("transport 'http' not allowed") as unknown,
  });
  expect(server.requests).toEqual([]);
});

describe('what git says is understood', () => {
  test.each([
    ["fatal: unable to access 'https://h/': Could not resolve host: h", 'transient'],
    ["fatal: unable to access 'https://h/': The requested URL returned error: 502", 'transient'],
    ["fatal: unable to access 'https://h/': The requested URL returned error: 429", 'transient'],
    ["fatal: unable to access 'https://h/': Failed to connect to h port 443", 'transient'],
    ['ssh: connect to host h port 22: Connection timed out', 'transient'],
    ['fatal: the remote end hung up unexpectedly\nfatal: early EOF', 'transient'],
    ['error: RPC failed; curl 92 HTTP/2 stream 0 was not closed cleanly', 'transient'],
    ['fatal: unable to connect to h:\nh[0: ::1]: errno=Connection refused', 'transient'],
    ['remote: Repository not found.\nfatal: repository https://h/a/ not found', 'not-found'],
    ["fatal: '/x' does not appear to be a git repository\nfatal: Could not read", 'not-found'],
    [
      "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
      'denied',
    ],
    ['git@h: Permission denied (publickey).\nfatal: the remote end hung up', 'denied'],
    ['Host key verification failed.\nfatal: Could not read from remote repository.', 'denied'],
    ["fatal: Authentication failed for 'https://h/'", 'denied'],
    ['fatal: remote error: upload-pack: not our ref 1234', 'version-not-found'],
    ["fatal: couldn't find remote ref v1", 'version-not-found'],
    ['error: Server does not allow request for unadvertised object 1234', 'unadvertised'],
    ["fatal: unable to access 'https://h/': SSL certificate problem: expired", 'other'],
    // A damaged cache: it is not the remote that has no such commit.
    ['error: index file x.idx is too small\nfatal: bad object 1234', 'other'],
    ['', 'other'],
  ])('%j', (errors, kind) => {
    expect(classifyGitFailure(errors)).toBe(kind);
  });
});

describe('a git that misbehaves', () => {
  /** Puts a program called git in front of the real one, and returns the variables that find it. */
  function pretend(
    fetching: Fetching,
    script: string,
  ): Readonly<Record<string, string | undefined>> {
    const directory = path.join(fetching.home, 'bin');
    plant(directory, { git: `#!/bin/sh\n${script}\n` });
    chmodSync(path.join(directory, 'git'), 0o755);
    const PATH = `${directory}:${gitEnvironment['PATH'] ?? ''}`;
    return { ...gitEnvironment, PATH };
  }

  test('and would receive without end is stopped', async () => {
    await using fetching = await Fetching.open();
    const line = 'Receiving objects:  42% (5/12), 2.10 GiB | 9.00 MiB/s';
    const environment = pretend(fetching, `printf '%s\\r' '${line}' >&2; exec sleep 1000`);
    await expect(fetching.fetch('owner/repo', { environment })).rejects.toMatchObject({
      code: 'ARTIFACT_REFUSED',
      message: expect.stringContaining('2147483648 bytes') as unknown,
    });
  });

  test('and answers without end is stopped', async () => {
    await using fetching = await Fetching.open();
    const environment = pretend(fetching, 'exec cat /dev/zero');
    await expect(fetching.fetch('owner/repo', { environment })).rejects.toMatchObject({
      code: 'FETCH_FAILED',
      message: expect.stringContaining('git answers without end') as unknown,
    });
  });

  test('and does not stop when asked to is killed, with its helpers', async () => {
    await using fetching = await Fetching.open();
    const helper = path.join(fetching.home, 'helper');
    const environment = pretend(
      fetching,
      // The helper inherits that it does not heed SIGTERM.
      `trap '' TERM; sleep 1000 & echo $! > ${helper}; echo >&2 ready; wait`,
    );
    const stop = new AbortController();
    const fetched = fetching.fetch('owner/repo', {
      environment,
      signal: stop.signal,
      onProgress: ({ message }) => {
        if (message === 'ready') stop.abort();
      },
    });
    await expect(fetched).rejects.toMatchObject({ code: 'ABORTED' });
    const pid = Number(readFileSync(helper, 'utf8'));
    expect(pid).toBeGreaterThan(0);
    expect(stateOf(pid)).toMatch(/^(?:gone|Z)$/);
  });
});

/** `gone`, or the letter that the kernel gives the state of a process. */
function stateOf(pid: number): string {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return 'gone';
  }
}
