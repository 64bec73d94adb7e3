import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Finding, Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { testify, testMachine } from '../support/evidence.js';
import { modes, requireHealthy, useSandbox } from '../support/store.js';
import { readTree } from '../support/tree.js';

/* Killed at any call, a repair leaves what the next one finds and answers; no file of the root moves. */

afterAll(removePlanted);

const inflicted: ReadonlySet<string> = new Set([
  'a displaced directory is gone',
  'strangers lie in the stage directory',
  'an object is gone',
  'a compressed object has a flipped byte',
  'the listing of a directory in a snapshot is damaged',
  'something in quarantine has no note',
  'a note in quarantine is about nothing',
]);

/** Each point costs a copy of the root and a repair: one in so many, but for the deep run. */
const strides = process.env['SKILLMEAT_EXHAUSTIVE'] === undefined ? 8 : 1;

function bytesInQuarantine(root: string): readonly string[] {
  const at = join(root, '.skillmeat/quarantine');
  return readdirSync(at, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.json'))
    .map(({ name, parentPath }) => readFileSync(join(parentPath, name), 'latin1'));
}

async function verified(store: Store): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of store.verify({ deep: true })) findings.push(finding);
  return findings;
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test('a repair killed at any call is finished by the next', async () => {
    await plantHistory(sandbox);
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    for (const { name, inflict } of damages) if (inflicted.has(name)) inflict(sandbox.root);
    writeFileSync(sandbox.at('seeded'), 'edited');
    const tree = sandbox.tree();
    recorder.start();
    const repairs = await store.repair({ deep: true });
    recorder.stop();
    expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
    // One of the strangers has a name that recovery takes for its own, and sweeps.
    const kept = bytesInQuarantine(sandbox.root).filter((bytes) => bytes !== 'deep');
    expect(kept.length).toBeGreaterThan(1);
    const violations: string[] = [];
    let looked = 0;
    for (const [i, { label, root }] of recorder.points.entries()) {
      if (i % strides === 0) {
        looked += 1;
        const again = await sandbox.openAt(root, { adopt: true });
        const unanswered = (await again.repair({ deep: true })).filter(
          ({ outcome }) => outcome !== 'done',
        );
        const left = await verified(again);
        if (unanswered.length + left.length > 0) {
          violations.push(`${label}: ${JSON.stringify([...unanswered, ...left])}`);
        }
        if (JSON.stringify(readTree(root)) !== JSON.stringify(tree)) violations.push(label);
        const bytes = new Set(bytesInQuarantine(root));
        if (kept.some((one) => !bytes.has(one))) violations.push(`${label}: bytes are gone`);
        await again.close();
        requireHealthy(root);
      }
      rmSync(root, { recursive: true });
    }
    testify({
      fault: 'killed at a call',
      operation: 'repair',
      on: testMachine,
      native: mode,
      states: looked,
      violations: violations.length,
    });
    expect(violations).toEqual([]);
    expect(recorder.points.length).toBeGreaterThan(40);
  });
});
