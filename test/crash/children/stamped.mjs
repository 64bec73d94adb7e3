// Skills of which each file says its version: two numbers in one skill, and somebody sees half of it.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** The files of a stamped skill, sorted. */
export const stampedNames = Object.freeze(['SKILL.md', 'a.md', 'b.md', 'c.md', 'd.md']);
/** Enough bytes for a reader to be interrupted between two files. */
const paddingLines = 200;

/**
 * @param {string} name
 * @param {number} version
 */
export function stampedContent(name, version) {
  return `version ${String(version)}\n${`A line of ${name}.\n`.repeat(paddingLines)}`;
}

/**
 * Returns the version that a content says, or -1.
 *
 * @param {string} content
 */
export function versionIn(content) {
  const found = /^version (\d+)\n/.exec(content)?.[1];
  return found === undefined ? -1 : Number(found);
}

/**
 * Makes a directory with a stamped skill.
 *
 * @param {string} directory
 * @param {number} version
 */
export function plantStamped(directory, version) {
  fs.mkdirSync(directory, { recursive: true });
  for (const name of stampedNames) {
    fs.writeFileSync(path.join(directory, name), stampedContent(name, version));
  }
}

/**
 * The `content_hash` of a stamped skill.
 *
 * @param {number} version
 */
export function stampedHash(version) {
  const hash = createHash('sha256');
  for (const name of stampedNames) hash.update(name).update(stampedContent(name, version));
  return hash.digest('hex');
}

/**
 * A commit's name, made of a number.
 *
 * @param {number} version
 */
export function stampedSha(version) {
  return version.toString(16).padStart(40, '0');
}

/**
 * What the manifest says of where a stamped skill comes from.
 *
 * @param {number} version
 */
export function stampedFacts(version) {
  return {
    origin: /** @type {const} */ ('github'),
    upstream: 'https://example.com/skills.git',
    versionSpec: 'latest',
    resolvedSha: stampedSha(version),
    resolvedVersion: `v${String(version)}`,
  };
}

/**
 * A stamped skill as if it had been fetched; it is the caller's to remove.
 *
 * @param {string} directory Absolute; made.
 * @param {number} version
 * @returns {import('../../../src/collection/index.js').FetchedArtifact}
 */
export function fetchedStamped(directory, version) {
  plantStamped(directory, version);
  return {
    ...stampedFacts(version),
    path: directory,
    kind: 'directory',
    originName: path.basename(directory),
    guessedType: undefined,
    neutralised: [],
    leftOut: [],
    [Symbol.asyncDispose]: async () => {
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
