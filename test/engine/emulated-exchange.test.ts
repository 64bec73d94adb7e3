import { expect, test } from 'vitest';
import { emulateMoveNew } from '../../src/engine/emulated-exchange.js';
import type { Directory, Place } from '../../src/engine/file-system.js';
import { systemError } from '../support/faults.js';

/* Where the file system has no links to offer: FAT, some network mounts. */

const directory = { device: 1n, inode: 1n } as unknown as Directory;
const from: Place = { directory, name: 'from' };
const to: Place = { directory, name: 'to' };

/** Moves with a `link` that throws `error`; returns the calls on names that were made. */
function move(error: Error, existing: readonly string[]): readonly string[] {
  const calls: string[] = [];
  const stat = ({ name }: Place): never =>
    (existing.includes(name) ? { kind: 'file' } : undefined) as never;
  emulateMoveNew(
    {
      stat,
      link: () => {
        throw error;
      },
      rename: (one, other) => calls.push(`rename ${one.name} ${other.name}`),
      unlink: ({ name }) => calls.push(`unlink ${name}`),
      mustReachDisk: ({ name }) => calls.push(`sync ${name}`),
    },
    from,
    to,
  );
  return calls;
}

test.each(['EPERM', 'ENOTSUP'])('a file that cannot be linked (%s) is renamed', (code) => {
  expect(move(systemError(code), ['from'])).toEqual(['rename from to']);
});

test('a file that cannot be linked is not renamed over another', () => {
  expect(() => move(systemError('EPERM'), ['from', 'to'])).toThrow('EEXIST');
});

test.each([systemError('EEXIST'), systemError('EIO'), new Error('bug: simulated')])(
  'a link that fails in another way (%s) moves nothing',
  (error) => {
    expect(() => move(error, ['from'])).toThrow(error);
  },
);
