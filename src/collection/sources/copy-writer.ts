import path from 'node:path';
import type { CopiedFile, Selection } from './artifact-entries.js';
import { tooManyBytes } from './artifact-entries.js';
import { makeDirectory, NewFile } from './disk.js';
import { refuseAborted } from './git-program.js';
import { artifactBytesMax } from './limits.js';
import { artifactRefused } from './refusal.js';
import type { SourceProgress } from './source.js';

/** Bytes between two lines of progress. */
const reportedBytes = 16_777_216;

export interface CopyOptions {
  /** Absolute path of the directory that is made and filled. */
  readonly directory: string;
  /** The source as the user knows it. */
  readonly shown: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SourceProgress) => void) | undefined;
}

/** Fills a new directory with what was selected, counting bytes: sizes found earlier may be wrong. */
export class CopyWriter {
  readonly #options: CopyOptions;
  #bytes = 0;
  #reported = 0;

  constructor(options: CopyOptions, { directories }: Selection) {
    this.#options = options;
    makeDirectory(options.directory);
    for (const directory of directories) makeDirectory(path.join(options.directory, directory));
  }

  /** @throws {CollectionError} `ARTIFACT_REFUSED` when there are too many bytes. */
  async write(file: CopiedFile, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const { directory, shown, signal } = this.#options;
    refuseAborted(signal);
    using target = new NewFile(path.join(directory, file.path), file.isExecutable);
    for await (const piece of pieces) {
      this.#bytes += piece.byteLength;
      if (this.#bytes > artifactBytesMax) throw artifactRefused(shown, [tooManyBytes]);
      target.write(piece);
      this.#report();
    }
  }

  #report(): void {
    if (this.#bytes - this.#reported < reportedBytes) return;
    this.#reported = this.#bytes;
    const megabytes = String(Math.round(this.#bytes / 1_000_000));
    this.#options.onProgress?.({ step: 'copy', message: `copied ${megabytes} MB` });
    refuseAborted(this.#options.signal);
  }
}
