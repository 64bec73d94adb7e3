import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openWorkspace } from '../../../src/collection/index.js';
import { plant, temporaryDirectory } from '../../support/git-upstream.js';
import { argumentsFor } from '../../support/programs.js';

const child = path.join(import.meta.dirname, '../../support/workspace-child.ts');

/** Starts a process with a workspace, and returns where that is once it is made. */
async function startOwner(
  home: string,
  native: string,
): Promise<{ location: string; kill: () => Promise<void> }> {
  const owner = spawn(process.execPath, [...argumentsFor(child), home, native], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(owner.stdout.setEncoding('utf8'), 'data')) as [string];
  return {
    location: line.trim(),
    kill: async () => {
      owner.kill('SIGKILL');
      await once(owner, 'close');
    },
  };
}

describe.each(['auto', 'off'] as const)('native part: %s', (native) => {
  test('a workspace is gone when it is disposed of, and only then', async () => {
    const home = temporaryDirectory();
    const pid = process.pid;
    const first = await openWorkspace({ home, pid, native });
    plant(first.makeDirectory(), { 'a/b': '' });
    await using second = await openWorkspace({ home, pid, native });
    await using third = await openWorkspace({ home, pid, native });
    expect(new Set([first.path, second.path, third.path]).size).toBe(3);
    expect(existsSync(path.join(first.path, 'lock'))).toBe(true);
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    const left = readdirSync(path.join(home, 'tmp')).toSorted();
    expect(left).toEqual([second.path, third.path].map((at) => path.basename(at)).toSorted());
  });

  test('what a killed process left is swept, what a living one uses is not', async () => {
    const home = temporaryDirectory();
    const dead = await startOwner(home, native);
    const living = await startOwner(home, native);
    try {
      expect(existsSync(path.join(dead.location, 'lock'))).toBe(true);
      await dead.kill();
      await using _ = await openWorkspace({ home, pid: process.pid, native });
      expect(existsSync(dead.location)).toBe(false);
      expect(existsSync(path.join(living.location, 'lock'))).toBe(true);
    } finally {
      await living.kill();
    }
    await using _ = await openWorkspace({ home, pid: process.pid, native });
    expect(existsSync(living.location)).toBe(false);
  });

  test('what is not its own is left alone', async () => {
    const home = temporaryDirectory();
    const elsewhere = temporaryDirectory();
    plant(elsewhere, { kept: '' });
    plant(path.join(home, 'tmp'), { 'notes/a': '', '12-abcdef.txt': '' });
    writeFileSync(path.join(home, 'tmp/13-abcdef'), '');
    symlinkSync(elsewhere, path.join(home, 'tmp/14-abcdef'));
    await using _ = await openWorkspace({ home, pid: process.pid, native });
    for (const name of ['notes/a', '12-abcdef.txt', '13-abcdef', '14-abcdef/kept']) {
      expect(existsSync(path.join(home, 'tmp', name)), name).toBe(true);
    }
    mkdirSync(path.join(home, 'tmp/15-abcdef'));
    await using last = await openWorkspace({ home, pid: process.pid, native });
    expect(existsSync(last.path)).toBe(true);
    expect(existsSync(path.join(home, 'tmp/15-abcdef'))).toBe(false);
  });

  test('a workspace that was deleted by hand is no trouble', async () => {
    const home = temporaryDirectory();
    const workspace = await openWorkspace({ home, pid: process.pid, native });
    rmSync(path.join(home, 'tmp'), { recursive: true });
    await workspace[Symbol.asyncDispose]();
    await using again = await openWorkspace({ home, pid: process.pid, native });
    expect(existsSync(again.path)).toBe(true);
  });
});
