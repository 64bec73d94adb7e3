import { defineConfig, mergeConfig } from 'vitest/config';
import config from './vitest.config.js';

// Tests that need root: they mount file systems. One at a time, because mounts are shared by the whole machine.
export default mergeConfig(
  { ...config, test: { ...config.test, include: [], exclude: [] } },
  defineConfig({
    test: { include: ['test/root/**/*.test.ts'], fileParallelism: false, passWithNoTests: true },
  }),
);
