import { expect, test } from 'vitest';
import { explore } from '../simulation/exploration.js';
import { type CrashKind, crashKinds } from '../simulation/explorer.js';
import { profiles } from '../simulation/profiles.js';
import { type Fault, testify } from '../support/evidence.js';

/*
 * Runs the real engine, with a real SQLite journal, on a simulated file system; enumerates what a
 * crash after every one of its steps may leave; recovers from each of these states and checks what
 * is promised; crashes some of the recoveries as well. See test/simulation/README.md.
 */

/** The same states in every run, so that a commit is judged by what it changed; the deep run takes new ones. */
const seed = Number(process.env['SKILLMEAT_STATES_SEED'] ?? 79_191);
const states = Number(process.env['SKILLMEAT_STATES'] ?? 50_000);
const processes = Number(process.env['SKILLMEAT_STATES_PROCESSES'] ?? 1);

const faultOf: Record<CrashKind, Fault> = {
  workload: 'crash after any step',
  'failed sync': 'failed sync, then a crash',
  recovery: 'crash of a recovery',
};

// Half a million states on a busy machine take longer than any other test may.
const hangMs = 7_200_000;

test('whatever a crash leaves, recovery keeps every promise', { timeout: hangMs }, async () => {
  const explored = await explore({ seed, states }, processes);
  const { count, countOf, sequences, workloads, blocked, violation, violatedOn } = explored;
  const { takenForTorn } = explored;
  for (const { name, calls } of profiles) {
    for (const kind of crashKinds) {
      testify({
        fault: faultOf[kind],
        on: `simulated ${name.replace(', plain', '')}`,
        native: calls === 'native' ? 'auto' : 'off',
        states: countOf(name, kind),
        violations: violatedOn.includes(name) ? 1 : 0,
        seed,
      });
    }
  }
  console.log(
    `${String(count)} different crash states of ${String(sequences)} sequences and ${String(workloads)} random workloads ` +
      `(${String(blocked)} blocked by foreign edits, ${String(takenForTorn)} that show the open limit of one flush); SKILLMEAT_STATES_SEED=${String(seed)}`,
  );
  if (violation !== undefined) throw new Error(violation);
  expect(count).toBeGreaterThanOrEqual(states);
  // A model in which a kind of crash cannot happen any more would find nothing wrong with it.
  const unseen = profiles.flatMap(({ name }) =>
    crashKinds.filter((kind) => countOf(name, kind) === 0),
  );
  expect(unseen).toEqual([]);
});
