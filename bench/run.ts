/**
 * `npm run bench [-- --quick] [--only NAME]… [--fs NAME]… [--files NUMBER]… [--dir DIRECTORY] [--json FILE] [--svg DIRECTORY]`
 *
 * Runs every question on file systems of its own (as root: loop-mounted ext4, XFS and btrfs), or where
 * it stands. Milliseconds are good on a quiet machine only; ratios are of sides that took turns.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loopFileSystems, mountLoop } from './loop-file-systems.js';
import { describeMachine, mountOf } from './machine.js';
import { chartOf, printFindings, printQuestion } from './print.js';
import { type Findings, isMet, type Place, type Question } from './question.js';
import { measureReference } from './reference.js';
import { amplification } from './questions/amplification.js';
import { collections } from './questions/collections.js';
import { directorySize } from './questions/directory-size.js';
import { history } from './questions/history.js';
import { large } from './questions/large.js';
import { pendingChanges } from './questions/recovery.js';
import { sequence } from './questions/sequence.js';
import { smallFiles } from './questions/small-files.js';
import { snapshots } from './questions/snapshots.js';
import { start } from './questions/start.js';
import { makeScratch } from './scratch.js';

const questions: readonly Question[] = [
  smallFiles,
  directorySize,
  sequence,
  history,
  pendingChanges,
  large,
  amplification,
  collections,
  snapshots,
  start,
];

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    fs: { type: 'string', multiple: true },
    dir: { type: 'string' },
    files: { type: 'string', multiple: true },
    json: { type: 'string' },
    svg: { type: 'string' },
  },
});

function chosen(): readonly Question[] {
  const { only } = options;
  if (only === undefined) return questions;
  const unknown = only.find((name) => !questions.some((question) => question.name === name));
  if (unknown === undefined) return questions.filter(({ name }) => only.includes(name));
  throw new Error(
    `no question ${unknown}; there are ${questions.map(({ name }) => name).join(', ')}`,
  );
}

function makePlaces(): readonly [Place, ...Place[]] {
  const scratch = makeScratch(options.dir);
  const here = mountOf(scratch);
  const places: Place[] = [];
  const wanted = options.fs ?? (options.quick ? ['ext4'] : loopFileSystems);
  for (const fileSystem of options.dir === undefined ? wanted : []) {
    const mounted = mountLoop(fileSystem, scratch);
    if ('problem' in mounted) {
      console.log(`${fileSystem} is left out: ${mounted.problem}`);
      continue;
    }
    const { device } = mountOf(mounted.mount);
    const name = `${fileSystem}, loop-mounted`;
    const loop = device.replace('/dev/', '');
    places.push({ name, fileSystem, directory: mounted.mount, device: loop });
  }
  const [made, ...others] = places;
  if (made !== undefined) return [made, ...others];
  console.log(`No file system of its own: where it stands, ${here.type} on ${here.device}.`);
  return [{ name: here.type, fileSystem: 'here', directory: scratch, device: undefined }];
}

const machine = describeMachine();
console.log(
  Object.entries(machine)
    .map(([key, value]) => `${key}: ${String(value)}`)
    .join('\n'),
);
const places = makePlaces();
const [first] = places;
// On ext4 where there is one, as the machine of the targets was measured.
const reference = await measureReference(first.directory);
console.log(`${first.name}, ${reference.description}.`);
const results: object[] = [];
let missed = 0;
for (const question of chosen()) {
  printQuestion(question);
  for (const place of places) {
    const directory = join(place.directory, question.name);
    mkdirSync(directory);
    const files = options.files?.map(Number);
    const run = { place: { ...place, directory }, isQuick: options.quick, files, reference };
    const findings: Findings = await question.run(run);
    rmSync(directory, { recursive: true });
    printFindings(question, place.name, findings);
    missed += findings.ratios.filter((ratio) => !isMet(ratio)).length;
    results.push({ question: question.name, place: place.name, ...findings });
    const sizes = new Set(findings.points.map(({ x }) => x));
    // No line leads from a single size.
    if (options.svg === undefined || sizes.size < 2) continue;
    mkdirSync(options.svg, { recursive: true });
    const name = `${question.name}-${place.fileSystem}.svg`;
    writeFileSync(join(options.svg, name), chartOf(question, place.name, findings));
  }
}
console.log(missed === 0 ? '\nEvery target was met.' : `\n${String(missed)} targets were missed.`);
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ machine, reference, results }, null, 2)}\n`);
}
