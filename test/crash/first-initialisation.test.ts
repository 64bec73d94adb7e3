import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { testifyOf, testMachine } from '../support/evidence.js';
import { amount } from '../support/extent.js';
import { Child, cleanUp, makeDirectory, removeDirectory } from '../support/processes.js';
import { type NativeMode, requireChain } from './recovered-state.js';

/* One that is killed is in killed-at-every-call.test.ts. */

afterEach(cleanUp);

const rounds = amount({ thorough: 4, otherwise: 1 });

test.each<{ readonly kinds: readonly NativeMode[] }>([
  { kinds: ['auto', 'auto'] },
  { kinds: ['off', 'off'] },
  { kinds: ['auto', 'off', 'auto', 'off'] },
])(
  'processes that initialise one store at once all get the same one: $kinds',
  async ({ kinds }) => {
    const [native = 'auto'] = kinds;
    const about = {
      fault: 'first initialisation at once',
      on: testMachine,
      native: isMixed(kinds) ? 'both' : native,
    } as const;
    await testifyOf({ ...about, note: 'states are rounds' }, async () => {
      for (let round = 0; round < rounds; round += 1) await initialiseAtOnce(kinds);
      return rounds;
    });
  },
);

async function initialiseAtOnce(kinds: readonly NativeMode[]): Promise<void> {
  const directory = makeDirectory();
  const root = path.join(directory, 'root');
  const children = kinds.map(
    (native, i) =>
      new Child('commit-in-turn.mjs', { root, native, name: `process-${String(i)}`, count: 2 }),
  );
  for (const child of children) await child.succeeded();
  await using store = await openStore(root, { lockWaitMs: 0 });
  const log = await store.log();
  expect(log).toHaveLength(2 * kinds.length);
  expect(fs.readFileSync(path.join(root, 'counter'), 'utf8')).toBe(String(log.length));
  expect(requireChain(root)).toBe(log.length);
  removeDirectory(directory);
}

function isMixed(kinds: readonly NativeMode[]): boolean {
  return new Set(kinds).size > 1;
}
