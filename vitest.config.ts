import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongFirst } from './scripts/long-first.js';

// A limit here only guards against a hang; how fast something is belongs to bench/, never to a test.
const hangMs = 600_000;

/** More than all tests together need at any time. */
const memoryBytesMin = 2_000_000_000;

/**
 * In memory where there is room: no test cuts the power, so no sync has to wait for a disk. Real disks are for
 * `vitest.root.config.ts`, and for the long runs.
 */
function directoryForTests(): string {
  if (process.env['SKILLMEAT_EXHAUSTIVE'] === '1') return tmpdir();
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > memoryBytesMin ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

export default defineConfig({
  test: {
    env: { TMPDIR: directoryForTests() },
    include: ['test/**/*.test.ts'],
    exclude: ['test/root/**'],
    setupFiles: ['test/support/checksum-ready.ts'],
    // Crash and lock tests change process-wide state, so each file gets a process of its own where all is
    // tried; else it restores what it changed, as loading the engine anew takes longer than most files.
    pool: 'forks',
    isolate: process.env['SKILLMEAT_COVERAGE'] === '1',
    // The default leaves one core to the watcher; on two cores that is half the machine.
    maxWorkers: '100%',
    sequence: { sequencer: LongFirst },
    testTimeout: hangMs,
    hookTimeout: hangMs,
    teardownTimeout: hangMs,
    coverage: { include: ['src/**'] },
  },
});
