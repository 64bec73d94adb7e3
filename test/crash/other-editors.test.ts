import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { isEngineError, openStore } from '../../src/engine/index.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { Child, cleanUp, hashesBelow, makeDirectory, sha256 } from '../support/processes.js';
import type { EditInput } from './children/edit-files.mjs';
import { watchFileSystem } from './children/watched-file-system.mjs';
import { type NativeMode, nativeModes } from './recovered-state.js';

/*
 * I3 against a real editor, in another process, that edits the very files that transactions replace,
 * by rename and in place. Its bytes may end in place, in the history, in quarantine, or overwritten
 * by the editor itself, which says what it found when it wrote. Nowhere else.
 */

afterEach(cleanUp);

const names = ['one.txt', 'two.txt', 'three.txt', 'folder/four.txt'];
const recordBytes = 64;
/** Below the number of transactions whose displaced files the history keeps. */
const transactionsMax = 900;

/** The pause lets some transactions through: without the native part they take longer. */
const paces = {
  auto: { count: 3_000, pauseMs: 12 },
  off: { count: 1_000, pauseMs: 45 },
} as const satisfies Record<NativeMode, Partial<EditInput>>;

describe.each(nativeModes)('native %s', (native) => {
  test('no edit by another program is lost to transactions on the same files', async () => {
    await requireNothingLost(native, { ...paces[native], isSlow: false });
  });

  test('no edit by a program that keeps files open is lost either', async () => {
    await requireNothingLost(native, { ...paces[native], count: 600, isSlow: true });
  });
});

describe.each(nativeModes)('native %s, a file of a transaction that is undone', (native) => {
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

async function requireNothingLost(
  native: NativeMode,
  edits: Pick<EditInput, 'count' | 'pauseMs' | 'isSlow'>,
): Promise<void> {
  const root = path.join(makeDirectory(), 'root');
  fs.mkdirSync(path.join(root, 'folder'), { recursive: true });
  for (const name of names) fs.writeFileSync(path.join(root, name), record(`first ${name}`));
  let store = await openStore(root, { create: true, native });
  const input: EditInput = { root, names, ...edits };
  const editor = new Child('edit-files.mjs', input);
  await editor.hears('READY');

  const outcomes = { committed: 0, drifted: 0, blocked: 0 };
  for (let n = 1; editor.isRunning && n <= transactionsMax; n += 1) {
    try {
      await store.transact({}, async (tx) => {
        for (const name of names) await tx.write(name, record(`transaction ${String(n)} ${name}`));
      });
      outcomes.committed += 1;
    } catch (error) {
      if (isEngineError(error, 'BLOCKED')) {
        // The editor came in again while its first edit was given back: the next open finishes that.
        outcomes.blocked += 1;
        await store.close();
        store = await openStore(root, { native });
      } else if (isEngineError(error, 'DRIFT_DETECTED', 'PATH_NOT_FOUND')) {
        outcomes.drifted += 1;
      } else {
        throw error;
      }
    }
  }
  await editor.succeeded();
  await store.close();
  const last = await openStore(root, { native });
  const { troubled } = await last.status();
  await last.close();

  const written = new Set(editor.said('WROTE'));
  const overwritten = new Set(editor.said('FOUND'));
  const kept = hashesBelow(root);
  const lost = [...written].filter(
    (content) => !overwritten.has(content) && !kept.has(sha256(record(content))),
  );
  const displaced = [...written].filter(
    (content) =>
      !overwritten.has(content) && kept.get(sha256(record(content)))?.includes('.skillmeat'),
  );
  console.log(
    `edits against transactions, native ${native}${edits.isSlow === true ? ', slow' : ''}: ${String(written.size)} edits, ${JSON.stringify(outcomes)}, ${String(displaced.length)} displaced and kept, ${String(lost.length)} lost`,
  );
  expect(lost).toEqual([]);
  expect(troubled).toEqual([]);
  // Or it tested nothing.
  expect(displaced.length).toBeGreaterThan(0);
  expect(outcomes.committed).toBeGreaterThan(0);
}

/** All contents have one length, so that one call writes them. */
function record(text: string): string {
  return `${text.padEnd(recordBytes - 1)}\n`;
}
