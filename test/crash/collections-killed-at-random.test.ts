import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { CollectionReader, openCollection } from '../../src/collection/index.js';
import { testify, testMachine } from '../support/evidence.js';
import { amount } from '../support/extent.js';
import {
  Child,
  cleanUp,
  makeDirectory,
  type Random,
  removeDirectory,
  seededRandom,
} from '../support/processes.js';
import { openStamped } from '../support/stamped-collection.js';
import type { UpdateInput } from './children/update-until-killed.mjs';
import { stampedNames, versionIn } from './children/stamped.mjs';

/*
 * A program that updates one skill after the other is killed at a moment that nobody chose; every
 * third of its updates fails, so rolling back is killed too. What the next opening leaves has to be of
 * one moment: manifest, lock, and every file of every skill. Switches are microseconds apart, so the
 * program pauses before each: else hardly a kill would hit between two. The same is done to the predecessor's way
 * of updating, of which the next start knew nothing.
 */

afterEach(cleanUp);

const kills = Number(
  process.env['SKILLMEAT_COLLECTION_KILLS'] ?? amount({ thorough: 16, otherwise: 5 }),
);
/** No test needs so many, if what it waits for ever happens: 4 of 20 kills break the predecessor. */
const killsMax = kills + 300;
/** A process is killed within its first, second, third or fourth update, in turn. */
const updatesMax = 4;
const skills = Array.from({ length: 12 }, (_, index) => `skill-${String(index)}`);

interface Killed {
  readonly kills: number;
  readonly broken: readonly string[];
  /** Updates that were acknowledged. */
  readonly done: number;
  /** Updates that failed and were rolled back. */
  readonly failed: number;
}

test.each(['auto', 'off'] as const)(
  'updates killed at random leave no collection broken, native %s',
  async (by) => {
    // Plain Node takes longer over each.
    const count = by === 'auto' ? kills : Math.ceil(kills / 8);
    const random = seededRandom(`updates killed, native ${by}`);
    // Some have to get through and some to fail, or it tested nothing.
    const isEnough = (so: Killed): boolean => so.kills >= count && so.done > 0 && so.failed > 0;
    const { kills: states, broken, done, failed } = await killUntil(isEnough, by, random);
    testify({
      fault: 'killed at random',
      operation: 'an update of artifacts',
      on: testMachine,
      native: by,
      states,
      violations: broken.length,
      seed: random.seed,
    });
    console.log(
      `native ${by}: ${String(broken.length)} of ${String(states)} kills left a broken collection; ` +
        `${String(done)} updates done, ${String(failed)} rolled back`,
    );
    expect(broken).toEqual([]);
    expect([done, failed].map((number) => number > 0)).toEqual([true, true]);
  },
);

test('the way of the predecessor, killed at random, leaves broken collections', async () => {
  const random = seededRandom('the predecessor killed');
  const isEnough = (so: Killed): boolean => so.broken.length > 0;
  const { kills: states, broken, done, failed } = await killUntil(isEnough, 'predecessor', random);
  console.log(
    `predecessor: ${String(broken.length)} of ${String(states)} kills left a broken collection; ` +
      `${String(done)} updates done, ${String(failed)} rolled back`,
  );
  expect(broken.length).toBeGreaterThan(0);
});

/** Kills one process after the other. A collection that is broken makes room for a fresh one. */
async function killUntil(
  isEnough: (so: Killed) => boolean,
  by: UpdateInput['by'],
  random: Random,
): Promise<Killed> {
  const broken: string[] = [];
  let [kill, done, failed, version] = [0, 0, 0, 1];
  // How long the updates took so far: a kill hits all of an update, however fast the machine is.
  let [sumMs, sumCount] = [60, 1];
  let directory = await makeCollection();
  for (; kill < killsMax && !isEnough({ kills: kill, broken, done, failed }); kill += 1) {
    const root = path.join(directory, 'collection');
    const home = path.join(directory, 'home');
    const child = new Child('update-until-killed.mjs', {
      root,
      home,
      names: skills,
      from: version,
      by,
    } satisfies UpdateInput);
    // One that ends by itself says why.
    if (!(await child.hears('BEGAN', 1 + (kill % updatesMax)))) await child.succeeded();
    await setTimeout(random.below(Math.ceil(sumMs / sumCount)));
    child.signal('SIGKILL');
    const { signal, errors } = await child.ended;
    expect(signal, errors).toBe('SIGKILL');
    const acknowledged = child.said('DONE').map((said) => said.split(' '));
    const refused = child.said('FAILED').map((said) => said.split(' '));
    done += acknowledged.length;
    failed += refused.length;
    for (const [, , ms] of [...acknowledged, ...refused]) sumMs += Number(ms);
    sumCount += acknowledged.length + refused.length;
    const lastDone = new Map(acknowledged.map(([name, number]) => [name ?? '', Number(number)]));
    // The last one may have got through without a word.
    version += child.said('BEGAN').length;
    const wrong = await whatIsBroken(root, { by, lastDone });
    if (wrong.length === 0) continue;
    broken.push(`kill ${String(kill)}: ${wrong.join('; ')}`);
    removeDirectory(directory);
    directory = await makeCollection();
  }
  removeDirectory(directory);
  return { kills: kill, broken, done, failed };
}

async function makeCollection(): Promise<string> {
  const directory = makeDirectory({ inMemory: true });
  await (await openStamped(directory, skills, 'auto'))[Symbol.asyncDispose]();
  return directory;
}

/** Opens the collection, as the next program would, and returns what is wrong with it then. */
async function whatIsBroken(
  root: string,
  {
    by,
    lastDone,
  }: { readonly by: UpdateInput['by']; readonly lastDone: ReadonlyMap<string, number> },
): Promise<readonly string[]> {
  if (by !== 'predecessor') {
    await using collection = await openCollection(root, { native: by, lockWaitMs: 60_000 });
    const { troubled } = await collection.store.status();
    if (troubled.length > 0) return [`${String(troubled.length)} troubled transactions`];
  }
  const reader = new CollectionReader(root);
  const wrong: string[] = [];
  try {
    const findings = await reader.findings();
    wrong.push(...findings.map(({ rule, message }) => `${rule} ${message}`));
    const artifacts = await reader.artifacts();
    if (artifacts.length !== skills.length) wrong.push(`${String(artifacts.length)} artifacts`);
    for (const artifact of artifacts) {
      const says = Number(artifact.resolvedVersion?.slice(1));
      const at = path.join(root, artifact.path);
      const names = fs.readdirSync(at).toSorted();
      const versions = names.map((name) => versionIn(fs.readFileSync(path.join(at, name), 'utf8')));
      const isWhole = names.join() === stampedNames.join() && versions.every((one) => one === says);
      if (!isWhole) {
        wrong.push(`${artifact.path} is of ${versions.join()}, the manifest has ${String(says)}`);
      }
      if (says < (lastDone.get(artifact.name) ?? 0)) wrong.push(`${artifact.path} was newer`);
    }
  } catch (error) {
    // What cannot even be read is broken as well.
    wrong.push(error instanceof Error ? error.message : String(error));
  }
  return wrong;
}
