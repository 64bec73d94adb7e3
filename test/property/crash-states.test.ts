import { expect, test } from 'vitest';
import { explore } from '../simulation/exploration.js';

/*
 * Runs the real engine, with a real SQLite journal, on a simulated file system; enumerates what a
 * crash after every one of its steps may leave; recovers from each of these states and checks what
 * is promised; crashes some of the recoveries as well. See test/simulation/README.md.
 */

/** The same states in every run, so that a commit is judged by what it changed; the deep run takes new ones. */
const seed = Number(process.env['SKILLMEAT_STATES_SEED'] ?? 79_191);
const states = Number(process.env['SKILLMEAT_STATES'] ?? 50_000);
const parts = Number(process.env['SKILLMEAT_STATES_PROCESSES'] ?? 1);

// Half a million states on a busy machine take longer than any other test may.
const hangMs = 7_200_000;

test('whatever a crash leaves, recovery keeps every promise', { timeout: hangMs }, async () => {
  const explored = await explore({ seed, states, parts });
  const { count, sequences, workloads, recoveriesCrashed, blocked, violation } = explored;
  console.log(
    `${String(count)} different crash states of ${String(sequences)} sequences and ${String(workloads)} random workloads ` +
      `(${String(recoveriesCrashed)} of crashed recoveries, ${String(blocked)} blocked by foreign edits); ` +
      `SKILLMEAT_STATES_SEED=${String(seed)}`,
  );
  expect(violation).toBeUndefined();
  expect(count).toBeGreaterThanOrEqual(states);
});
