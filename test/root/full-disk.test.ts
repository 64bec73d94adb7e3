import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { type Outcome, useCommandLine } from '../support/command.js';
import { testify, testMachine } from '../support/evidence.js';
import { Upstream } from '../support/git-upstream.js';
import { describeTree } from '../support/processes.js';
import { mountAt, mountImage, unmountAll } from './mounts.js';

/*
 * A disk that is really full, with room for a part of an update: nothing of it happens, and it goes
 * through as soon as there is room.
 */

const cli = useCommandLine('process');
// Before its directory goes.
afterEach(unmountAll);

/** What is left on the disk, in bytes; the last is not enough for the artifact alone. */
const rooms = [0, 4_096, 16_384, 65_536, 131_072, 262_144];
const artifactBytes = 300_000;

async function run(args: readonly string[]): Promise<Outcome> {
  const env = { SKILLMEAT_HOME: cli.at('home'), HOME: cli.at('.'), GIT_CONFIG_NOSYSTEM: '1' };
  return cli.run(['-C', root(), ...args], { env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null' } });
}

let disk = '';
const root = (): string => `${disk}/collection`;

async function ok(...args: readonly string[]): Promise<void> {
  expect(await run(args)).toMatchObject({ exitCode: 0 });
}

test.each(['tmpfs', 'ext4'])('a disk that is full in the middle of an update: %s', async (kind) => {
  disk = mountSmall(kind);
  fs.mkdirSync(root());
  const upstream = new Upstream();
  const files = { 'canvas/SKILL.md': '# Canvas\n', 'commands/review.md': 'review\n' };
  upstream.commit(files);
  await ok('init');
  await ok('add', `${upstream.url}//canvas`, `${upstream.url}//commands/review.md`);
  const picture = randomBytes(artifactBytes).toString('base64').slice(0, artifactBytes);
  upstream.commit({ ...files, 'canvas/picture': picture, 'commands/review.md': 'new\n' });
  const before = describeTree(root());
  const said: string[] = [];
  for (const room of rooms) {
    const filler = fillUp(room);
    const outcome = await run(['update', '--all']);
    said.push(`${String(room)}: ${/\[([A-Z_]+)\]/.exec(outcome.stderr)?.[1] ?? 'no code'}`);
    fs.rmSync(filler);
    expect(outcome, String(room)).toMatchObject({ exitCode: 9, signal: null });
    expect(outcome.stderr).toContain('[DISK_FULL]');
    expect(describeTree(root()), String(room)).toEqual(before);
    await ok('status');
  }
  console.log(`a full ${kind}: ${said.join(', ')}`);
  testify({
    fault: 'failing disk',
    operation: 'update of artifacts, full disk',
    on: testMachine,
    native: 'auto',
    states: rooms.length,
    violations: 0,
  });
  await ok('update', '--all');
  await ok('status');
  await ok('verify');
  expect(fs.readFileSync(`${root()}/skills/canvas/picture`, 'utf8')).toBe(picture);
});

function mountSmall(kind: string): string {
  if (kind === 'ext4') return mountImage(cli.directory, ['mkfs.ext4', '-q', '-F'], 'loop');
  const at = cli.at('disk');
  fs.mkdirSync(at);
  mountAt(at, 'tmpfs', ['-t', 'tmpfs', '-o', 'size=8m']);
  return at;
}

/** Writes until nothing more fits, and gives `room` bytes back. */
function fillUp(room: number): string {
  const at = `${disk}/filler`;
  const file = fs.openSync(at, 'w');
  let bytes = 0;
  try {
    for (const piece of [Buffer.alloc(1_048_576), Buffer.alloc(4_096)]) {
      try {
        for (;;) bytes += fs.writeSync(file, piece);
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOSPC') throw error;
      }
    }
    fs.ftruncateSync(file, Math.max(0, bytes - room));
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  return at;
}
