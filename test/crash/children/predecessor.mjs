// How the predecessor updates a skill: an archive of the whole collection, then everything in place;
// when that fails, the collection is removed and the archive unpacked. Re-implemented to be compared.
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

/** @typedef {readonly (readonly [name: string, content: string])[]} ArchivedFiles */

/**
 * @typedef {object} PlainUpdate
 * @property {string} root The collection.
 * @property {string} archive Where the archive goes.
 * @property {string} artifact Path of the artifact in the collection.
 * @property {string} from Absolute path of its new files.
 * @property {(text: string) => string} manifest Edits the manifest.
 * @property {(text: string) => string} lock Edits the lock; what it throws makes the update fail.
 */

/** @param {PlainUpdate} update */
export function updateAsPredecessor({ root, archive, artifact, from, manifest, lock }) {
  pack(root, archive);
  try {
    const at = path.join(root, artifact);
    fs.rmSync(at, { recursive: true });
    fs.cpSync(from, at, { recursive: true });
    rewrite(path.join(root, 'collection.toml'), manifest);
    rewrite(path.join(root, 'collection.lock'), lock);
  } catch (error) {
    fs.rmSync(root, { recursive: true });
    unpack(archive, root);
    throw error;
  }
}

/**
 * As it wrote both files: beside them, flushed, and renamed over them.
 *
 * @param {string} file
 * @param {(text: string) => string} edit
 */
function rewrite(file, edit) {
  const text = edit(fs.readFileSync(file, 'utf8'));
  fs.writeFileSync(`${file}.tmp`, text, { flush: true });
  fs.renameSync(`${file}.tmp`, file);
}

/**
 * @param {string} root
 * @param {string} archive
 */
function pack(root, archive) {
  /** @type {ArchivedFiles} */
  const files = fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const at = path.join(entry.parentPath, entry.name);
      return [path.relative(root, at), fs.readFileSync(at, 'base64')];
    });
  fs.writeFileSync(archive, gzipSync(JSON.stringify(files)));
}

/**
 * @param {string} archive
 * @param {string} root
 */
function unpack(archive, root) {
  /** @type {ArchivedFiles} */
  const files = JSON.parse(gunzipSync(fs.readFileSync(archive)).toString());
  for (const [name, content] of files) {
    const at = path.join(root, name);
    fs.mkdirSync(path.dirname(at), { recursive: true });
    fs.writeFileSync(at, content, 'base64');
  }
}
