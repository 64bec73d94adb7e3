import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * Copies roots while their journals are open, synchronously and in another process: a file of the
 * journal that is closed here takes SQLite's locks on it along.
 */

let copier: Copier | undefined;

/**
 * Copies a directory as it is: modes, owners, times to the microsecond, links. Extended attributes
 * and holes stay behind.
 */
export function copyTree(from: string, to: string): void {
  copier ??= new Copier();
  copier.copy(from, to);
}

/** A process that copies one directory after the other, and ends with this one. */
class Copier {
  readonly #requests: number;
  readonly #answers: number;

  constructor() {
    const directory = mkdtempSync(join(tmpdir(), 'skillmeat-copier-'));
    const [requests, answers] = ['requests', 'answers'].map((name) => join(directory, name));
    if (requests === undefined || answers === undefined) throw new Error('there are two');
    const { status, stderr } = spawnSync('mkfifo', [requests, answers], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`mkfifo failed: ${stderr}`);
    // To open one end waits for the other, unless both are opened at once.
    const both = [requests, answers].map((path) => openSync(path, constants.O_RDWR));
    const input = openSync(requests, constants.O_RDONLY);
    const output = openSync(answers, constants.O_WRONLY);
    this.#requests = openSync(requests, constants.O_WRONLY);
    this.#answers = openSync(answers, constants.O_RDONLY);
    const script = fileURLToPath(new URL('copier-child.mjs', import.meta.url));
    spawn(process.execPath, [script], { stdio: [input, output, 'inherit'] }).unref();
    // From now on each end tells when the other process is gone.
    for (const descriptor of [...both, input, output]) closeSync(descriptor);
    rmSync(directory, { recursive: true });
  }

  copy(from: string, to: string): void {
    writeSync(this.#requests, `${from}\n${to}\n`);
    const piece = Buffer.alloc(1_024);
    let answer = '';
    while (!answer.endsWith('\n')) {
      const count = readSync(this.#answers, piece);
      if (count === 0) throw new Error('the process that copies is gone');
      answer += piece.toString('utf8', 0, count);
    }
    if (answer !== '\n') throw new Error(`cannot copy ${from}: ${answer}`);
  }
}
