import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { faultyFileSystem, names } from '../support/faults.js';
import { argumentsFor } from '../support/programs.js';
import { changeOwner, expectError, modes, readOwnerFile, useSandbox } from '../support/store.js';

const channels = [
  'skillmeat:transaction',
  'skillmeat:progress',
  'skillmeat:waiting',
  'skillmeat:recovery',
  'skillmeat:checkpoint',
];

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** What is published while `act` runs. */
  async function eventsOf(
    act: () => Promise<unknown>,
  ): Promise<readonly (readonly [string, unknown])[]> {
    const events: [string, unknown][] = [];
    const listen = (event: unknown, name: string | symbol): void => {
      events.push([String(name), event]);
    };
    for (const channel of channels) subscribe(channel, listen);
    try {
      await act();
    } finally {
      for (const channel of channels) unsubscribe(channel, listen);
    }
    return events;
  }

  /** How far it is tells a machine so slow that the work takes more than one slice of time. */
  function withoutProgress<T>(events: readonly (readonly [string, T])[]): typeof events {
    return events.filter(([name]) => name !== 'skillmeat:progress');
  }

  test('a transaction tells each of its steps', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('first', '1'));
    const events = await eventsOf(() =>
      store.transact({ message: 'why' }, async (tx) => {
        await tx.write('a', 'a');
        await tx.write('d/b', 'b');
      }),
    );
    const told = { root: sandbox.root, message: 'why', changes: 3 };
    expect(withoutProgress(events)).toEqual([
      ['skillmeat:transaction', { ...told, phase: 'staged', id: undefined }],
      ['skillmeat:transaction', { ...told, phase: 'committed', id: 2 }],
      ['skillmeat:transaction', { ...told, phase: 'applied', id: 2 }],
    ]);
  });

  test('a transaction that is undone says so', async () => {
    sandbox.seed({ a: 'old' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    faulty.fail('EACCES', (call) => call.method === 'exchange' && names(call, 'a'));
    const events = await eventsOf(() =>
      expectError(
        store.transact({}, (tx) => tx.write('a', 'new')),
        'PERMISSION_DENIED',
      ),
    );
    const phases = events
      .filter(([name]) => name === 'skillmeat:transaction')
      .map(([, event]) => (event as { readonly phase: string }).phase);
    expect(phases).toEqual(['staged', 'committed', 'rolled-back']);
  });

  test('one that changes nothing tells nothing', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    const events = await eventsOf(() => store.transact({}, (tx) => tx.write('a', 'a')));
    expect(withoutProgress(events)).toEqual([]);
  });

  test('waiting is told only by those who wait', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    const events = await eventsOf(() =>
      Promise.all([
        store.transact({}, (tx) => tx.write('b', 'b')),
        store.transact({ lockWaitMs: 5_000 }, (tx) => tx.write('c', 'c')),
      ]),
    );
    expect(events.filter(([name]) => name === 'skillmeat:waiting')).toEqual([
      ['skillmeat:waiting', { root: sandbox.root, waitMs: 5_000 }],
    ]);
  });

  test('recovery tells what it did', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    await store.close();
    writeFileSync(sandbox.at('a'), 'foreign');
    expect(readOwnerFile(sandbox.root)?.isReleased).toBe(true);
    changeOwner(sandbox.root, { isReleased: false });
    const events = await eventsOf(() => sandbox.open());
    expect(events.filter(([name]) => name === 'skillmeat:recovery')).toEqual([
      [
        'skillmeat:recovery',
        {
          root: sandbox.root,
          transactions: [1],
          changed: 0,
          superseded: [expect.objectContaining({ transaction: 1, path: 'a', why: 'edited' })],
        },
      ],
    ]);
  });

  test('a large transaction tells how far it is', async () => {
    const store = await sandbox.open();
    const events = await eventsOf(() =>
      store.transact({}, async (tx) => {
        for (let n = 0; n < 500; n += 1) await tx.mkdir(`d${String(n)}`);
      }),
    );
    const progress = events
      .filter(([name]) => name === 'skillmeat:progress')
      .map(([, event]) => event as { readonly phase: string; readonly done: number });
    for (const { phase, done } of progress) {
      expect(['stage', 'plan', 'apply']).toContain(phase);
      expect(done).toBeLessThanOrEqual(500);
    }
  });

  test('the engine prints nothing, whatever happens', () => {
    const child = join(import.meta.dirname, '../support/silent-child.ts');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...argumentsFor(child), sandbox.root, mode],
      { encoding: 'utf8' },
    );
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});
