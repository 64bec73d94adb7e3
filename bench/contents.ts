import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { NewFile } from './floor.js';

/** 512 to 7 679 bytes; other bytes in each round, so that every file really changes. */
export function newFiles(count: number, round: number): readonly NewFile[] {
  return Array.from({ length: count }, (_, index) => {
    const outputLength = 512 + ((index * 2_579) % 7_168);
    const content = createHash('shake256', { outputLength })
      .update(`${String(index)} ${String(round)}`)
      .digest();
    return { name: `file-${String(index)}.md`, content };
  });
}

export function plant(directory: string, files: readonly NewFile[]): void {
  for (const { name, content } of files) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}
