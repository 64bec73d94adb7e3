// Copies directories: reads pairs of lines from its standard input, from where and to where, and answers
// each with a line, which is empty when it went well. One process for many copies: starting `cp` takes
// far longer than what it then does.
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

const user = BigInt(process.getuid?.() ?? 0);
const group = BigInt(process.getgid?.() ?? 0);

/** @type {string | undefined} */
let from;
for await (const line of createInterface({ input: process.stdin })) {
  if (from === undefined) {
    from = line;
    continue;
  }
  let answer = '';
  try {
    copy(from, line, new Map());
  } catch (error) {
    answer = String(error).replaceAll('\n', ' ');
  }
  fs.writeSync(1, `${answer}\n`);
  from = undefined;
}

/**
 * @param {string} source
 * @param {string} target where nothing is yet
 * @param {Map<bigint, string>} linked where the files are copied to that have several names
 */
function copy(source, target, linked) {
  const stat = fs.lstatSync(source, { bigint: true });
  const first = stat.isDirectory() ? undefined : linked.get(stat.ino);
  if (first !== undefined) {
    fs.linkSync(first, target);
    return;
  }
  if (stat.isDirectory()) {
    fs.mkdirSync(target);
    for (const name of fs.readdirSync(source)) {
      copy(path.join(source, name), path.join(target, name), linked);
    }
  } else if (stat.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source), target);
  else if (stat.isFile()) fs.copyFileSync(source, target);
  else throw new Error(`${source} is neither a file nor a directory nor a link`);
  if (stat.nlink > 1n && !stat.isDirectory()) linked.set(stat.ino, target);
  keepAttributes(target, stat);
}

/**
 * @param {string} target
 * @param {fs.BigIntStats} stat
 */
function keepAttributes(target, stat) {
  const { uid, gid, mode, atimeNs, mtimeNs } = stat;
  if (uid !== user || gid !== group) fs.lchownSync(target, Number(uid), Number(gid));
  // After the owner, whose change takes some modes away.
  if (!stat.isSymbolicLink()) fs.chmodSync(target, Number(mode) & 0o7777);
  fs.lutimesSync(target, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9);
}
