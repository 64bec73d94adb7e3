import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { driverName, root } from './setup.js';

/** What makes a file system, and how it tells its version. */
const makers = [
  ['mkfs.ext4', '-V'],
  ['mkfs.xfs', '-V'],
  ['mkfs.btrfs', '--version'],
];

/**
 * What a run of the tests ran on and with, for the certificate. Only when everything is installed.
 * @returns {Record<string, string>} by what it is the version of
 */
export function describeMachine() {
  const sqlite = `new (require('${driverName()}'))(':memory:').prepare('SELECT sqlite_version()')`;
  const tools = makers.map(([program = '', option = '']) => [
    program,
    firstNumbered(program, [option]) ?? 'not installed',
  ]);
  return {
    'skillmeat commit': commit(),
    skillmeat: versionOf('package.json'),
    kernel: `${os.type()} ${os.release()}, ${os.arch()}`,
    'Node.js': process.version,
    SQLite:
      firstNumbered(process.execPath, ['-p', `${sqlite}.pluck().get()`]) ?? 'it does not load',
    'better-sqlite3': versionOf(`node_modules/${driverName()}/package.json`),
    koffi: versionOf('node_modules/koffi/package.json'),
    ...Object.fromEntries(tools),
    'temporary directories': [os.tmpdir(), '/dev/shm']
      .map((place) => `${place} is ${fileSystemOf(place)}`)
      .join(', '),
  };
}

/** @param {string} place */
function fileSystemOf(place) {
  const { status, stdout } = spawnSync('stat', ['-f', '-c', '%T', place], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : 'not known';
}

/** @param {string} file */
function versionOf(file) {
  return String(JSON.parse(readFileSync(path.join(root, file), 'utf8')).version);
}

function commit() {
  const hash = firstNumbered('git', ['rev-parse', 'HEAD']);
  if (hash === undefined) return 'not known: no git';
  const { stdout } = spawnSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' });
  return stdout.trim() === '' ? hash : `${hash}, with changes that are not committed`;
}

/**
 * Some programs write their version to standard error, below other lines.
 * @param {string} program
 * @param {readonly string[]} args
 */
function firstNumbered(program, args) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) return undefined;
  return `${stdout}${stderr}`.split('\n').find((line) => /\d/.test(line));
}
