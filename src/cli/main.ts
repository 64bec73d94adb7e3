#!/usr/bin/env node
import module from 'node:module';

// Node 22.8 and later keep compiled code between runs.
if ('enableCompileCache' in module && typeof module.enableCompileCache === 'function') {
  module.enableCompileCache();
}

// Only what is imported after that is kept.
const { run } = await import('./run.js');
const exitCode = await run(process.argv.slice(2));
// A failed write to stdout has set one already.
process.exitCode ??= exitCode;
