import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore } from '../src/engine/index.js';

/*
 * Snapshots of directories of small files, against git, restic and borg where they are installed.
 * All in the same run, medians. Usage: tsx bench/snapshots.ts [FILES…]
 */

const sizes = process.argv.slice(2).map(Number);
const rounds = 7;
const filesPerDirectory = 25;
const changedFiles = 5;

interface Contender {
  readonly name: string;
  readonly prepare: (root: string, aside: string) => void;
  readonly run: (root: string, aside: string) => void;
}

const contenders: readonly Contender[] = [
  {
    name: 'git add -A && git commit',
    prepare: (root) => {
      command(root, ['git', 'init', '-q']);
      writeFileSync(join(root, '.git/info/exclude'), '.skillmeat\n');
    },
    run: (root) => {
      command(root, ['git', 'add', '-A']);
      const who = ['-c', 'user.name=b', '-c', 'user.email=b@b', '-c', 'gc.auto=0'];
      command(root, ['git', ...who, 'commit', '-qm', 'x']);
    },
  },
  {
    name: 'restic backup',
    prepare: (root, aside) => {
      command(root, ['restic', '-q', '-r', join(aside, 'restic'), 'init']);
    },
    run: (root, aside) => {
      const excluded = ['--exclude', '.skillmeat', '--exclude', '.git'];
      command(root, ['restic', '-q', '-r', join(aside, 'restic'), 'backup', ...excluded, '.']);
    },
  },
  {
    name: 'borg create',
    prepare: (root, aside) => {
      command(root, ['borg', 'init', '-e', 'none', join(aside, 'borg')]);
    },
    run: (root, aside) => {
      const excluded = ['-e', 'sh:**/.skillmeat', '-e', 'sh:**/.git'];
      const archive = `${join(aside, 'borg')}::${String(performance.now())}`;
      command(root, ['borg', 'create', ...excluded, archive, '.']);
    },
  },
];

for (const count of sizes.length === 0 ? [100, 1_000, 10_000] : sizes) await measure(count);

async function measure(count: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'skillmeat-bench-'));
  const root = join(directory, 'root');
  try {
    const paths = plant(root, count);
    console.log(`\n${String(count)} files`);
    await using store = await openStore(root, { create: true });
    const began = performance.now();
    const first = await store.snapshots.create();
    report('skillmeat, first snapshot', [performance.now() - began]);
    // Nothing that changed within the last seconds is taken for unchanged.
    await new Promise((resolve) => {
      setTimeout(resolve, 2_100);
    });
    await store.snapshots.create();

    let newBytes = 0;
    const unchanged = await times(async () => {
      newBytes += (await store.snapshots.create()).added.bytes;
    });
    report('skillmeat, unchanged', unchanged, `${String(newBytes)} new bytes`);
    let round = 0;
    const changed = await times(
      async () => {
        await store.snapshots.create();
      },
      () => {
        change(paths, (round += 1));
      },
    );
    report(`skillmeat, ${String(changedFiles)} changed`, changed);
    const restored = await times(
      async () => {
        await store.snapshots.restore(first.snapshot.id ?? 1);
      },
      () => {
        change(paths, (round += 1));
      },
    );
    report(`skillmeat, restore of ${String(changedFiles)}`, restored);
    for (const { name, prepare, run } of contenders) {
      const [program = ''] = name.split(' ');
      if (spawnSync(program, ['--version']).status !== 0) {
        console.log(`  ${name}: not installed`);
        continue;
      }
      prepare(root, directory);
      run(root, directory);
      const taken = await times(
        async () => {
          run(root, directory);
        },
        () => {
          change(paths, (round += 1));
        },
      );
      report(`${name}, ${String(changedFiles)} changed`, taken);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function plant(root: string, count: number): readonly string[] {
  const paths: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = join(root, `skill-${String(Math.floor(i / filesPerDirectory))}`);
    if (i % filesPerDirectory === 0) mkdirSync(at, { recursive: true });
    const path = join(at, `${String(i)}.md`);
    writeFileSync(path, `# ${String(i)}\n${'A line of a skill.\n'.repeat(i % 200)}`);
    paths.push(path);
  }
  return paths;
}

function change(paths: readonly string[], round: number): void {
  for (let i = 0; i < changedFiles; i += 1) {
    const path = paths[Math.floor((i * paths.length) / changedFiles)];
    if (path !== undefined) writeFileSync(path, `changed ${String(round)} ${String(i)}\n`);
  }
}

async function times(
  act: () => Promise<void>,
  before: () => void = () => undefined,
): Promise<readonly number[]> {
  const taken: number[] = [];
  for (let i = 0; i < rounds; i += 1) {
    before();
    const began = performance.now();
    await act();
    taken.push(performance.now() - began);
  }
  return taken;
}

function report(what: string, taken: readonly number[], remark = ''): void {
  const median = taken.toSorted((a, b) => a - b)[Math.floor(taken.length / 2)] ?? 0;
  console.log(`  ${what}: ${median.toFixed(1)} ms ${remark}`);
}

function command(cwd: string, [program = '', ...args]: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, RESTIC_PASSWORD: 'bench', GIT_CONFIG_GLOBAL: '/dev/null' },
  });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
}
