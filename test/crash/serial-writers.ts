import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { sha256 } from '../support/processes.js';
import { requireChain } from './recovered-state.js';

/**
 * Checks that a root is what the transactions of `commit-in-turn.mjs` make of an empty one, one
 * after the other: the counter, the shared manifest and the log tell the same serial story.
 *
 * @returns the own names of all transactions.
 */
export async function requireSerial(
  root: string,
  { mayRollBack = false }: { readonly mayRollBack?: boolean } = {},
): Promise<ReadonlySet<string>> {
  await using store = await openStore(root, { lockWaitMs: 0 });
  const { head, troubled, quarantined } = await store.status();
  expect({ troubled, quarantined }).toEqual({ troubled: [], quarantined: 0 });
  const log = (await store.log({ limit: head + 1 })).toReversed();
  expect(log.map(({ id }) => id)).toEqual(Array.from({ length: head }, (_, i) => i + 1));
  const done = log.filter(({ state }) => state !== 'rolled-back');
  if (!mayRollBack) expect(done).toHaveLength(head);
  const names = done.map(({ message }) => message);

  let manifest = '';
  for (const [i, { id, message: own }] of done.entries()) {
    manifest += `${own}\n`;
    const { changes, superseded } = await store.show(id ?? 0);
    const after = new Map(changes.map((change) => [change.path, change.after]));
    expect(superseded).toEqual([]);
    expect(after.get('counter')).toMatchObject({ sha256: sha256(String(i + 1)) });
    expect(after.get('manifest')).toMatchObject({ sha256: sha256(manifest) });
    expect(after.get(`files/${own}`)).toMatchObject({ sha256: sha256(own) });
  }
  const read = (name: string): string => fs.readFileSync(path.join(root, name), 'utf8');
  expect(read('counter')).toBe(String(done.length));
  expect(read('manifest')).toBe(manifest);
  for (const own of names) expect(read(`files/${own}`)).toBe(own);
  const files = fs.readdirSync(path.join(root, 'files'), { recursive: true, withFileTypes: true });
  expect(files.filter((entry) => entry.isFile())).toHaveLength(names.length);
  expect(requireChain(root)).toBe(head);
  expect(new Set(names).size).toBe(names.length);
  return new Set(names);
}
