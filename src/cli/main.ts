#!/usr/bin/env node
import module from 'node:module';

/** Node 22.8 and later keep compiled code between runs; the types are those of Node 20. */
interface CompileCache {
  readonly enableCompileCache?: () => unknown;
}
(module as CompileCache).enableCompileCache?.();

async function main(): Promise<void> {
  // Only what is imported after that is kept.
  const { run } = await import('./run.js');
  const exitCode = await run(process.argv.slice(2));
  // A failed write to stdout has set one already.
  process.exitCode ??= exitCode;
}

// Not `await`: this is bundled as CommonJS.
void main();
