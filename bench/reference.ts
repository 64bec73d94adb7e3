/**
 * Targets in milliseconds were set on one machine. How slow this one is beside it, by two pieces of work
 * that were measured there, too (design/prototype.md, issues 4 and 6).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { newFiles, plant } from './contents.js';
import { milliseconds, spreadOf, timed } from './measure.js';

/** Factors: 1 on the machine of the targets, 3 where the same takes three times as long. */
export interface Reference {
  /** Of what waits for the disk: seven files by write-file-atomic, one after the other. */
  readonly disk: number;
  /** Of what starts processes: `git add` and `git commit` of 5 of 100 files. */
  readonly programs: number;
  readonly description: string;
}

/** Medians on the machine of the targets, in milliseconds. */
const measuredThere = { writeFileAtomic: 2.83, git: 14 };
const warmUpRounds = 2;
const rounds = 15;

/** @param directory is left as it was. */
export async function measureReference(directory: string): Promise<Reference> {
  const root = join(directory, 'reference');
  mkdirSync(root);
  const writing = await medianOf((round) => async () => {
    for (const { name, content } of newFiles(7, round)) {
      await writeFileAtomic(join(root, name), Buffer.from(content));
    }
  });
  plant(root, newFiles(100, 0));
  git(root, ['init', '-q']);
  const committing = await medianOf((round) => {
    plant(root, newFiles(5, round + 1));
    return () => {
      git(root, ['add', '-A']);
      const who = ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost'];
      git(root, [...who, '-c', 'gc.auto=0', 'commit', '-qm', 'bench']);
    };
  });
  rmSync(root, { recursive: true });
  const disk = writing / measuredThere.writeFileAtomic;
  const programs = committing / measuredThere.git;
  const tell = (what: string, here: number, there: number): string =>
    `${what} ${milliseconds(here)} ms (there ${String(there)}, × ${(here / there).toFixed(1)})`;
  return {
    disk,
    programs,
    description: `beside the machine of the targets: ${tell('7 files by write-file-atomic', writing, measuredThere.writeFileAtomic)}, ${tell('git add and commit', committing, measuredThere.git)}; targets in milliseconds and per second are scaled by these`,
  };
}

async function medianOf(prepare: (round: number) => () => unknown): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    const act = prepare(round);
    const time = await timed(act);
    if (round >= warmUpRounds) times.push(time);
  }
  return spreadOf(times).median;
}

function git(directory: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('git', args, { cwd: directory, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args.join(' ')} failed: ${stderr ?? String(error)}`);
}
