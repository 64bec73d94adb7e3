// `npm run test:guards`: switches each guard of the engine off and expects its killer to fail. With ids as
// arguments only these. The last line is `N passed, N failed`. See test/guards/README.md.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { transformSync } from 'esbuild';
import { disagreements, readGuards, withoutGuard } from './guards.js';
import { describeTotals } from './outcomes.js';
import { noteSuite } from './run-vitest.js';
import { ensureInstalled, root } from './setup.js';

/** @typedef {import('./guards.js').Guard} Guard */
/** @typedef {import('./guards.js').Killer} Killer */
/** @typedef {{passed: number, failed: number, isBroken: boolean}} Outcome of the tests of one name */

const processes = 2;
/** Only against a mutant that never ends. */
const hangMs = 240_000;
const copied = ['src', 'test', 'scripts', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const linked = ['node_modules', 'dist', 'docs', 'schema'];

ensureInstalled();
const wanted = process.argv.slice(2);
const { guards, sources } = readGuards(path.join(root, 'src/engine'));
/** @type {Record<string, Killer>} */
const killers = JSON.parse(readFileSync(path.join(root, 'test/guards/killers.json'), 'utf8'));
const failures = disagreements(guards, killers);
const tried = guards.filter(
  ({ id }) => id in killers && (wanted.length === 0 || wanted.includes(id)),
);

const scratch = mkdtempSync(path.join(tmpdir(), 'skillmeat-guards-'));
try {
  const places = Array.from({ length: processes }, (_, n) => makeCopy(String(n)));
  const healthy = await requireGreen(places);
  const survivors = await inParallel(tried, places, judge);
  failures.push(...healthy, ...survivors.flatMap((one) => one ?? []));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

const totals = {
  passed: Math.max(0, tried.length - failures.length),
  failed: failures.length,
  skipped: 0,
  lines: failures.map((failure) => `FAILED: ${failure}`),
};
noteSuite('guards', totals, {
  fault: 'guard removed',
  on: 'the test machine',
  native: 'both',
  states: tried.length,
  violations: failures.length,
  note: 'each guard of src/engine is switched off, and its test must fail',
});
console.log(describeTotals(totals));
process.exitCode = failures.length === 0 ? 0 : 1;

/**
 * A copy of what the tests need, to break the engine in.
 * @param {string} name
 */
function makeCopy(name) {
  const place = path.join(scratch, name);
  for (const one of copied) {
    cpSync(path.join(root, one), path.join(place, one), { recursive: true });
  }
  for (const one of linked) symlinkSync(path.join(root, one), path.join(place, one));
  return place;
}

/**
 * Runs every killer on the engine as it is: one that is red already shows nothing.
 * @param {readonly string[]} places
 * @returns {Promise<string[]>} what is wrong
 */
async function requireGreen(places) {
  /** @type {Map<string, Set<string>>} */
  const testsOf = new Map();
  for (const { id } of tried) {
    const { file, test } = killerOf(id);
    testsOf.set(file, (testsOf.get(file) ?? new Set()).add(test));
  }
  const wrong = await inParallel([...testsOf], places, async ([file, tests], place) => {
    const outcomes = await runTests(place, file, [...tests]);
    return [...tests].flatMap((test) => {
      const { passed, failed } = outcomes.get(test) ?? { passed: 0, failed: 0 };
      if (failed > 0) return [`${file}: "${test}" fails on the engine as it is`];
      return passed > 0 ? [] : [`${file} has no test "${test}"`];
    });
  });
  return wrong.flat();
}

/**
 * @param {Guard} guard
 * @param {string} place
 * @returns {Promise<string | undefined>} what is wrong
 */
async function judge(guard, place) {
  const { id, file } = guard;
  const killer = killerOf(id);
  const at = path.join(place, 'src/engine', file);
  const text = sources.get(file) ?? '';
  let verdict;
  try {
    const mutant = withoutGuard(guard, text);
    transformSync(mutant, { loader: 'ts' });
    writeFileSync(at, mutant);
    const outcome = (await runTests(place, killer.file, [killer.test])).get(killer.test);
    if (outcome === undefined || outcome.isBroken) verdict = 'its killer did not run';
    else if (outcome.failed === 0) verdict = 'its killer did not notice';
  } catch (error) {
    verdict = error instanceof Error ? error.message : String(error);
  } finally {
    writeFileSync(at, text);
  }
  const where = `${file}:${guard.line}`;
  const judged = verdict === undefined ? 'killed  ' : 'SURVIVED';
  console.log(`${judged} ${id.padEnd(34)} ${where.padEnd(30)} ${killer.file}: ${killer.test}`);
  return verdict === undefined ? undefined : `${id} (${where}): ${verdict}`;
}

/** @param {string} id */
function killerOf(id) {
  const killer = killers[id];
  if (killer === undefined) throw new Error(`bug: ${id} is tried without a killer`);
  return killer;
}

/**
 * Runs the tests whose names end in one of `names`, and tells how those of each name ended.
 * @param {string} place
 * @param {string} file
 * @param {readonly string[]} names
 * @returns {Promise<Map<string, Outcome>>}
 */
async function runTests(place, file, names) {
  const report = path.join(place, 'report.json');
  rmSync(report, { force: true });
  const pattern = names.map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  const reporting = ['--reporter=json', `--outputFile=${report}`];
  // By content: of a copy with one file changed, most is ready for the next run.
  const cache = ['--experimental.fsModuleCache', `--experimental.fsModuleCachePath=${place}/cache`];
  await run(place, ['run', file, '-t', `(?:${pattern})$`, ...reporting, ...cache]);
  /** @type {{testResults: {status: string, assertionResults: {fullName: string, status: string}[]}[]}} */
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const results = testResults.flatMap((one) => one.assertionResults);
  const isBroken = results.length === 0;
  return new Map(
    names.map((name) => {
      const own = results.filter(({ fullName }) => fullName.endsWith(name));
      const count = (/** @type {string} */ status) =>
        own.filter((result) => result.status === status).length;
      return [name, { passed: count('passed'), failed: count('failed'), isBroken }];
    }),
  );
}

/**
 * @param {string} place
 * @param {readonly string[]} args
 * @returns {Promise<void>}
 */
function run(place, args) {
  const environment = { ...process.env };
  // What a sample leaves out may be what notices.
  environment['SKILLMEAT_THOROUGH'] = '1';
  // What a broken engine shows is no evidence.
  delete environment['SKILLMEAT_EVIDENCE'];
  return new Promise((resolve, reject) => {
    const child = spawn(path.join(place, 'node_modules/.bin/vitest'), args, {
      cwd: place,
      env: environment,
      stdio: 'ignore',
      detached: true,
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      reject(new Error('its killer never ended'));
    }, hangMs);
    child.on('error', reject);
    child.on('exit', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Does all of `items`, one at a time in each place.
 * @template Item, Result
 * @param {readonly Item[]} items
 * @param {readonly string[]} places
 * @param {(item: Item, place: string) => Promise<Result>} act
 * @returns {Promise<Result[]>}
 */
async function inParallel(items, places, act) {
  const left = [...items];
  /** @type {Result[]} */
  const results = [];
  const work = async (/** @type {string} */ place) => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      results.push(await act(item, place));
    }
  };
  await Promise.all(places.map(work));
  return results;
}
