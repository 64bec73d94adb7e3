import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * The disk of recording-disk.c, and what is mounted from it. Everything here runs in a namespace of
 * its own (see `inOwnNamespace`): when the process that made it dies, the kernel takes down the
 * mounts, and with them the loop devices and the disk.
 */

const source = fileURLToPath(new URL('recording-disk.c', import.meta.url));

/** Runs a program so that its mounts and its processes end with it, however it ends. */
export const inOwnNamespace: readonly [string, ...string[]] = [
  'unshare',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
];

/** Compiles the disk. @returns the program. */
export function compileDisk(directory: string): string {
  const program = path.join(directory, 'recording-disk');
  const flags = run('pkg-config', ['--cflags', '--libs', 'fuse3']).trim().split(/\s+/);
  run('gcc', ['-O2', '-Wall', '-Werror', '-o', program, source, ...flags]);
  return program;
}

/** Why no disk can be recorded here, or `undefined`. */
export function whyNoDisk(programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'this is not root';
  for (const device of ['/dev/fuse', '/dev/loop-control']) {
    if (!fs.existsSync(device)) return `there is no ${device}`;
  }
  const needed = ['gcc', 'pkg-config', 'unshare', 'mount', 'umount', ...programs];
  const missing = needed.filter((name) => spawnSync('which', [name]).status !== 0);
  if (missing.length > 0) return `${missing.join(', ')} is not installed`;
  if (spawnSync('pkg-config', ['--exists', 'fuse3']).status !== 0) {
    return 'libfuse3-dev is not installed';
  }
  const [program, ...options] = inOwnNamespace;
  const { status, stderr } = spawnSync(program, [...options, 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `no namespace can be made: ${stderr.trim()}`;
}

/** What goes wrong on the disk; `writes-of` fails those with a block that begins with the text. */
export type Failing = 'nothing' | 'flushes' | 'writes' | `writes-of ${string}`;

export class RecordingDisk {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #mountPoint: string;

  private constructor(disk: ChildProcess, ended: Promise<void>, mountPoint: string) {
    this.#process = disk;
    this.#ended = ended;
    this.#mountPoint = mountPoint;
  }

  /** Starts a disk on an image; everything that happens to it goes to `log`. */
  static async start(options: {
    readonly program: string;
    readonly image: string;
    readonly log: string;
    readonly mountPoint: string;
  }): Promise<RecordingDisk> {
    const { program, image, log, mountPoint } = options;
    fs.mkdirSync(mountPoint, { recursive: true });
    const disk = spawn(program, [image, log, mountPoint], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const ended = new Promise<void>((resolve) => disk.once('close', () => resolve()));
    while (!fs.existsSync(path.join(mountPoint, 'disk'))) {
      if (disk.exitCode !== null) throw new Error(`the disk ended: ${String(disk.exitCode)}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return new RecordingDisk(disk, ended, mountPoint);
  }

  /** The file that a loop device can stand on. */
  get file(): string {
    return path.join(this.#mountPoint, 'disk');
  }

  /** Puts a text between the writes that are done and those that come. */
  mark(text: string): void {
    fs.writeFileSync(path.join(this.#mountPoint, 'mark'), text);
  }

  fail(what: Failing): void {
    fs.writeFileSync(path.join(this.#mountPoint, 'fail'), what);
  }

  async stop(): Promise<void> {
    run('umount', [this.#mountPoint]);
    await this.#ended;
    if (this.#process.exitCode !== 0) throw new Error('the disk did not end in order');
  }

  /** Takes the disk away, though somebody may still use it. */
  async discard(): Promise<void> {
    unmountLazily(this.#mountPoint);
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}

/** Mounts a disk or an image by a loop device, which goes when the mount goes. */
export function mount(file: string, mountPoint: string, options: readonly string[]): void {
  fs.mkdirSync(mountPoint, { recursive: true });
  run('mount', ['-o', ['loop', ...options].join(','), file, mountPoint]);
}

export function unmount(mountPoint: string): void {
  run('umount', [mountPoint]);
}

/** Takes the mount away at once, and its loop device when the last file of it is closed. */
export function unmountLazily(mountPoint: string): void {
  run('umount', ['--lazy', mountPoint]);
}

export function run(program: string, args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
