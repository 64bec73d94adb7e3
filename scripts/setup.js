// Installs and builds, each only when needed. Runs before anything is installed, so it uses nothing but Node.
import { isAscii } from 'node:buffer';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const root = path.dirname(import.meta.dirname);

/**
 * Runs a program in the project's directory with our own input and output, and returns its exit code.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {number}
 */
export function run(program, args, environment = process.env) {
  const { status, signal, error } = spawnSync(program, args, {
    cwd: root,
    env: environment,
    stdio: 'inherit',
  });
  if (error !== undefined) throw error;
  if (signal !== null) console.error(`${program} was ended by ${signal}`);
  return status ?? 1;
}

/**
 * Runs a tool out of node_modules and returns its exit code.
 * @param {string} name
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {number}
 */
export function runTool(name, args, environment) {
  return run(pathOf(name), args, environment);
}

/**
 * Starts a tool whose output goes to a file, and returns its exit code when it has ended.
 * @param {string} name
 * @param {readonly string[]} args
 * @param {string} log
 * @returns {Promise<number>}
 */
export function startTool(name, args, log) {
  const output = openSync(log, 'w');
  const child = spawn(pathOf(name), args, { cwd: root, stdio: ['ignore', output, output] });
  closeSync(output);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => {
      resolve(status ?? 1);
    });
  });
}

/** @param {string} tool */
function pathOf(tool) {
  return path.join(root, 'node_modules', '.bin', tool);
}

/** Installs what package-lock.json asks for, unless it is installed already and works on this Node. */
export function ensureInstalled() {
  const complete = hasLockedPackages();
  if (complete && nativeModuleLoads()) {
    console.log('Dependencies are installed already.');
    return;
  }
  if (complete) {
    console.log(`Rebuilding ${driverName()} for Node ${process.version} …`);
    npm(['rebuild', driverName()]);
  } else {
    const isCompiled = driverName() !== 'better-sqlite3';
    console.log(
      `Installing dependencies …${isCompiled ? ' compiling better-sqlite3 takes about a minute' : ''}`,
    );
    // NODE_ENV=production would leave out the compiler.
    npm(['ci', '--include=dev', '--no-audit', '--no-fund']);
  }
  if (!nativeModuleLoads()) {
    throw new Error(
      `${driverName()} does not load after installing. On Node 20 it is compiled on this machine: that needs a C++ ` +
        'compiler, make, Python 3, and npm must not be configured with ignore-scripts or omit=optional.',
    );
  }
}

/** Builds dist/ afresh: tsc takes about a second, so nothing decides whether it could be skipped. */
export function build() {
  console.log('Building dist/ …');
  rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  const status = runTool('tsc', ['-p', 'tsconfig.json']);
  if (status !== 0) return status;
  return bundleCommand() || bundleTestPrograms();
}

/**
 * Makes the command two CommonJS files: loading some seventy modules and their packages one by one takes longer than a
 * small transaction, and so does starting the loader of ES modules (docs/decisions/0007). `skillmeat.js` only turns on
 * the compile cache, where Node has one, and loads `run.js`.
 */
function bundleCommand() {
  const status = runTool('esbuild', [
    'skillmeat=dist/cli/main.js',
    'run=dist/cli/run.js',
    '--bundle',
    '--external:./run.js',
    '--external:koffi',
    '--platform=node',
    '--target=node20',
    '--format=cjs',
    // Makes `import('./run.js')` a `require`.
    '--supported:dynamic-import=false',
    '--define:import.meta.url=bundleUrl',
    "--banner:js=const bundleUrl = require('node:url').pathToFileURL(__filename).href;",
    '--minify-syntax',
    '--minify-whitespace',
    '--legal-comments=none',
    '--outdir=dist/bin',
    '--log-level=warning',
  ]);
  if (status !== 0) return status;
  // esbuild escapes what is in strings, but not in regular expressions.
  if (!isAscii(readFileSync(path.join(root, 'dist/bin/run.js')))) {
    throw new Error(
      'dist/bin/run.js is not ASCII: each start would decode all of it, and take 8 ms more; write such characters of regular expressions as \\u…',
    );
  }
  // The package is one of ES modules; this directory is not.
  writeFileSync(path.join(root, 'dist/bin/package.json'), '{ "type": "commonjs" }\n');
  return 0;
}

/**
 * The programs that tests start, each in one file: half of what such a process takes is loading the modules of the
 * engine, or the compiler for them. `test/support/programs.ts` takes them while they are newer than their parts.
 */
function bundleTestPrograms() {
  return runTool('esbuild', [
    'test/crash/children/*.mjs',
    'test/support/*-child.ts',
    'test/simulation/*-child.ts',
    '--bundle',
    '--packages=external',
    '--platform=node',
    '--target=node20',
    '--format=esm',
    '--outbase=test',
    '--outdir=.cache/test-programs',
    '--out-extension:.js=.mjs',
    '--log-level=warning',
  ]);
}

/**
 * npm keeps a lock file of what it has really installed. Comparing the two notices every way node_modules can fall
 * behind, and accepts an install that somebody did by hand.
 */
function hasLockedPackages() {
  const installed = lockedPackages('node_modules/.package-lock.json');
  return Object.entries(lockedPackages('package-lock.json')).every(([location, wanted]) => {
    if (location === '') return true;
    const found = installed[location];
    return found === undefined ? wanted.optional === true : found.version === wanted.version;
  });
}

/**
 * @param {string} file
 * @returns {Record<string, {version?: string, optional?: boolean}>} nothing when there is no such file
 */
function lockedPackages(file) {
  const location = path.join(root, file);
  return existsSync(location) ? JSON.parse(readFileSync(location, 'utf8')).packages : {};
}

/** False also when node_modules was compiled for another Node version or platform. */
function nativeModuleLoads() {
  const script = `new (require('${driverName()}'))(':memory:').close()`;
  return spawnSync(process.execPath, ['-e', script], { cwd: root }).status === 0;
}

/** The SQLite driver for this Node, as in src/engine/sqlite.ts. */
export function driverName() {
  return Number.parseInt(process.versions.node, 10) < 22
    ? 'better-sqlite3-node20'
    : 'better-sqlite3';
}

/** @param {readonly string[]} args */
function npm(args) {
  const status = run(...npmCommand(args), npmEnvironment());
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed with exit code ${status}`);
}

/**
 * Prefers the npm that started us.
 * @param {readonly string[]} args
 * @returns {[string, readonly string[]]}
 */
function npmCommand(args) {
  const script = process.env['npm_execpath'];
  return script !== undefined && path.basename(script) === 'npm-cli.js'
    ? [process.execPath, [script, ...args]]
    : ['npm', args];
}

/** Makes the install scripts use this very Node, and its own headers where it came with them: no download then. */
function npmEnvironment() {
  const prefix = path.dirname(path.dirname(process.execPath));
  const headers = path.join(prefix, 'include', 'node', 'node_version.h');
  return {
    ...process.env,
    PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env['PATH'] ?? ''}`,
    ...(existsSync(headers) && { npm_package_config_node_gyp_nodedir: prefix }),
  };
}
