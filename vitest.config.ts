import { defineConfig } from 'vitest/config';
import { LongFirst } from './scripts/long-first.js';

// A limit here only guards against a hang; how fast something is belongs to bench/, never to a test.
const hangMs = 600_000;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/root/**'],
    setupFiles: ['test/support/checksum-ready.ts'],
    // Crash and lock tests change process-wide state, so each file gets a process of its own.
    pool: 'forks',
    // The default leaves one core to the watcher; on two cores that is half the machine.
    maxWorkers: '100%',
    sequence: { sequencer: LongFirst },
    testTimeout: hangMs,
    hookTimeout: hangMs,
    teardownTimeout: hangMs,
    coverage: { include: ['src/**'] },
  },
});
