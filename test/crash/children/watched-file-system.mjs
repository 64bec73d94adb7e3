/** @import { FileSystem } from '../../../src/engine/file-system.js' */

/** Every call of the seam that can change something on disk, or make a change durable. */
export const mutatingCalls = /** @type {const} */ ([
  'makeRoot',
  'makeDirectory',
  'removeDirectory',
  'createFile',
  'cloneFile',
  'write',
  'writeSync',
  'closeWritten',
  'makeLink',
  'removeFile',
  'setMode',
  'setModeOf',
  'setOwner',
  'keepExtendedAttributes',
  'exchange',
  'moveNew',
  'moveOwn',
  'barrier',
  'writeRecord',
  'writeAnew',
  'openRecord',
]);

/** Those that only look, take a note in memory, or let go of something. */
export const lookingCalls = /** @type {const} */ ([
  'openRoot',
  'openDirectory',
  'resolveLinks',
  'closeDirectory',
  'holdsOther',
  'list',
  'stat',
  'statFile',
  'statDirectory',
  'readLink',
  'openForReading',
  'read',
  'readSync',
  'closeFile',
  'close',
  'typeOf',
  'freeBytes',
  'roomForMapping',
  'bootId',
  'processOwner',
  'readRecord',
  'tryLock',
  'unlock',
  'pathOf',
  'mountsBelow',
  'mustReachDisk',
  'readAt',
  'dropCached',
  'hasWriter',
  'attributeNames',
]);

/** @type {ReadonlySet<PropertyKey>} */
const mutating = new Set(mutatingCalls);

/**
 * Puts `around` each call that changes something.
 *
 * @param {FileSystem} files
 * @param {(name: string, call: () => unknown, values: readonly unknown[]) => unknown} around
 * @returns {FileSystem}
 */
export function watchFileSystem(files, around) {
  return new Proxy(files, {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      /** @type {(...values: unknown[]) => unknown} */
      const method = value.bind(target);
      if (!mutating.has(key)) return method;
      return (/** @type {unknown[]} */ ...values) =>
        around(String(key), () => method(...values), values);
    },
  });
}
