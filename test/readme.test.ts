import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
/** Where the tour says that it happens. */
const place = '/tmp/tour';
/** Ends what a command prints. */
const end = '\u0001\n';

interface Typed {
  readonly command: string;
  readonly prints: string;
}

/** The commands of the tour, in order, with what the README says that they print. */
function tour(): readonly Typed[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const section = readme.split('\n## ').find((text) => text.startsWith('Five-minute tour')) ?? '';
  const blocks = [...section.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block = '']) => block);
  return blocks
    .flatMap((block) => block.split(/^\$ /m).slice(1))
    .map((typed) => {
      const [command = '', ...lines] = typed.split('\n');
      return { command, prints: lines.join('\n') };
    });
}

/** Types them all at one shell, and returns what each printed. */
function type(commands: readonly string[], directory: string): readonly string[] {
  const script = commands
    .map((command) => `(exit $status)\n${command}\nstatus=$?; printf '\\001\\n'\n`)
    .join('');
  const { NO_COLOR: _color, SKILLMEAT_NATIVE: _native, ...environment } = process.env;
  const { stdout } = spawnSync('bash', ['-c', `exec 2>&1\n${script}`], {
    cwd: root,
    encoding: 'utf8',
    env: { ...environment, HOME: directory, GIT_CONFIG_GLOBAL: '/dev/null' },
  });
  return stdout.split(end);
}

/**
 * Leaves out what is another each time: commits, times, who, sizes of files with names of directories in
 * them; and whether the killed command had come as far as the store, which a busy machine may keep it from.
 */
function comparable(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{7,64}\b/g, 'SHA')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:]+Z/g, 'TIME')
    .replaceAll(/ by \S+@\S+/g, ' by ME')
    .replaceAll(/\d+ bytes/g, 'N bytes')
    .replace(/^skillmeat: recovered: .*\n/m, '')
    .replace(/^.* Done .*\n.*\bKilled\b.*$/m, 'Killed');
}

test('the tour prints what the README says', () => {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-tour-')));
  try {
    const typed = tour();
    expect(typed.length).toBeGreaterThan(30);
    const commands = typed.map(({ command }) => command.replaceAll(place, directory));
    const printed = type(commands, directory).map((text) => text.replaceAll(directory, place));
    const told = typed.map(({ command, prints }) => ({ command, prints: comparable(prints) }));
    expect(
      typed.map(({ command }, at) => ({ command, prints: comparable(printed[at] ?? '') })),
    ).toEqual(told);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
