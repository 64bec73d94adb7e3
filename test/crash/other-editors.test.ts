import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { cleanUp, hashesBelow, makeDirectory, sha256 } from '../support/processes.js';
import { watchFileSystem } from './children/watched-file-system.mjs';
import { nativeModes } from './recovered-state.js';
import { testifyOfEachTest, testMachine } from '../support/evidence.js';

/*
 * I3 in the instants that racing-editor.test.ts meets by chance: another program writes through a
 * descriptor that it opened before, exactly while a transaction is undone.
 */

afterEach(cleanUp);

describe.each(nativeModes)('native %s, a file of a transaction that is undone', (native) => {
  testifyOfEachTest({
    fault: 'edit of another program at a chosen moment',
    operation: 'while a transaction is undone',
    on: testMachine,
    native,
  });

  // Somebody opens the new file in the instant that it is in place, and writes when it no longer is.
  test.each(['exchange', 'barrier', 'close'] as const)(
    'keeps what is written to it through an open descriptor after %s',
    async (moment) => {
      const root = path.join(makeDirectory(), 'root');
      fs.mkdirSync(root);
      for (const name of ['one.txt', 'two.txt']) fs.writeFileSync(path.join(root, name), name);
      await (await openStore(root, { create: true, native })).close();
      let opened: number | undefined;
      let exchanges = 0;
      const late = 'written late';
      const write = (): void => {
        if (opened === undefined) throw new Error('nothing was in place');
        fs.writeSync(opened, late, 0);
        fs.closeSync(opened);
        opened = undefined;
      };
      const fileSystem = watchFileSystem(new NodeFileSystem({ native }), (name, call) => {
        if (name === 'exchange' && (exchanges += 1) === 2) {
          opened = fs.openSync(path.join(root, 'one.txt'), 'r+');
          fs.writeFileSync(path.join(root, 'two.txt'), 'drift');
        }
        const result = call();
        if (opened !== undefined && name === 'exchange' && moment === 'exchange' && exchanges > 3) {
          write();
        }
        if (opened !== undefined && name === 'barrier' && moment === 'barrier') {
          return Promise.resolve(result).finally(write);
        }
        return result;
      });
      const store = await openStore(root, { fileSystem });
      await expect(
        store.transact({}, async (tx) => {
          await tx.write('one.txt', 'new one');
          await tx.write('two.txt', 'new two');
        }),
      ).rejects.toMatchObject({ code: 'DRIFT_DETECTED' });
      if (opened !== undefined) write();
      await store.close();
      await using next = await openStore(root, { native });
      expect(await next.status()).toMatchObject({ troubled: [] });
      expect(fs.readFileSync(path.join(root, 'two.txt'), 'utf8')).toBe('drift');
      const kept = [...hashesBelow(root).keys()];
      expect(kept).toContain(sha256(late));
      expect(kept).toContain(sha256('one.txt'));
    },
  );

  test('gets back what was written to its old content through an open descriptor', async () => {
    const root = path.join(makeDirectory(), 'root');
    fs.mkdirSync(root);
    for (const name of ['one.txt', 'two.txt']) fs.writeFileSync(path.join(root, name), name);
    await (await openStore(root, { create: true, native })).close();
    const opened = fs.openSync(path.join(root, 'one.txt'), 'r+');
    let exchanges = 0;
    const fileSystem = watchFileSystem(new NodeFileSystem({ native }), (name, call) => {
      if (name === 'exchange' && (exchanges += 1) === 2) {
        fs.writeSync(opened, 'written late', 0);
        fs.closeSync(opened);
        fs.writeFileSync(path.join(root, 'two.txt'), 'drift');
      }
      return call();
    });
    await using store = await openStore(root, { fileSystem });
    await expect(
      store.transact({}, async (tx) => {
        await tx.write('one.txt', 'new one');
        await tx.write('two.txt', 'new two');
      }),
    ).rejects.toMatchObject({ code: 'DRIFT_DETECTED' });
    expect(await store.status()).toMatchObject({ troubled: [] });
    expect(fs.readFileSync(path.join(root, 'two.txt'), 'utf8')).toBe('drift');
    // It is the same file that the program had opened: its edit wins, as any foreign edit does.
    expect(fs.readFileSync(path.join(root, 'one.txt'), 'utf8')).toBe('written late');
  });
});
