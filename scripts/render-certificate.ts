import type { Branches, Evidence, Fault, NotRun } from '../test/support/evidence.js';

/*
 * docs/certificate.md, from what the suites left in SKILLMEAT_EVIDENCE. What did not say that it ran
 * is listed as not run, and what failed comes first.
 */

/** How a suite ended, as scripts/run-vitest.js says it. */
export interface SuiteOutcome {
  readonly suite: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Versions, by what they are of. */
  readonly machine: Readonly<Record<string, string>>;
}

export interface CertificateInput {
  /** Of each run by itself: two runs may have looked at the same. */
  readonly evidence: readonly (readonly Evidence[])[];
  readonly notRun: readonly NotRun[];
  readonly suites: readonly SuiteOutcome[];
  readonly branches?: Branches | undefined;
}

export interface Certificate {
  readonly text: string;
  readonly isClean: boolean;
}

const simulated = ['ext4', 'ext4 noauto_da_alloc', 'XFS', 'btrfs', 'worst-case POSIX'].concat([
  'APFS-like',
  'NTFS-like',
]);
const simulatedPlaces = simulated.map((profile) => `simulated ${profile}`);
const realPlaces = ['ext4', 'xfs', 'btrfs'];

/** What a full run tries: on each of these places by itself, or wherever when there is none. */
const expectedPlaces: Readonly<Record<Fault, readonly string[]>> = {
  'crash after any step': simulatedPlaces,
  'crash of a recovery': simulatedPlaces,
  'failed sync, then a crash': simulatedPlaces,
  'crash states that broke a promise once': [],
  'power cut': realPlaces,
  'power cut while recovering': realPlaces,
  'failing disk': realPlaces,
  'full disk': realPlaces,
  'killed at a call': [],
  'killed at a system call': [],
  'killed at random': [],
  'killed among other writers': [],
  'many writers at once': [],
  'first initialisation at once': [],
  'lock torture': [],
  'error at a call': [],
  'error at a system call': [],
  corruption: [],
  'edit of another program at a chosen moment': [],
  'race with an editor': [],
  'reader during an update': [],
  'odd place': [],
  'guard removed': [],
};

/** One for each row of the table that a full run must give. */
export const expectedFaults: readonly { readonly fault: Fault; readonly on?: string }[] =
  Object.entries(expectedPlaces).flatMap(([name, places]) => {
    const fault = name as Fault;
    return places.length === 0 ? [{ fault }] : places.map((on) => ({ fault, on }));
  });

/** What no suite tries, however it is run. */
const neverTested = [
  'macOS and Windows, on any hardware: the plain-Node part is simulated over models of APFS and NTFS; no test has run on either system.',
  'Real disks that lose their power: what is cut is a log of the block writes of a real file system, and a model of one.',
  'Disks that lie, that say a flush is done when it is not; machines with faulty memory.',
  'Network and cluster file systems, ZFS, F2FS, bcachefs; FUSE and overlayfs only as `odd place` says.',
  'A failed sync, then a killed process before that is recorded, then a power cut (docs/design.md, "One flush").',
  'Known to fail, and left out of the violations: another program overwrites a file that was just put in place, and the power keeps that and no name; the acknowledged transaction goes, whole (docs/design.md, "One flush").',
  'Known to fail, and left out of the violations: others remove all that the newest transaction made, and the power keeps that and not `owner`; the log says `rolled-back` of an acknowledged one, and no byte is lost (docs/design.md, "One flush").',
  'Kernels, architectures, SQLite and Node versions other than those named below.',
];

const legend = `- _states_: different crash states for simulations and power cuts; else processes killed, calls that failed, damages, edits, transactions, or tests.
- _native part_: \`auto\` with \`syncfs\`, \`renameat2\` and kernel locks, \`off\` in plain Node, \`both\` at once.
- _the test machine_: the file systems of its temporary directories, see Versions.
- _violations_: a promise I1–I10 (docs/design.md) that did not hold.`;

export function renderCertificate(input: CertificateInput): Certificate {
  const rows = mergeRuns(input.evidence.map(mergeRows));
  const missing = missingKinds(rows, input);
  const failures = failuresOf(rows, input.suites);
  const isClean = failures.length === 0;
  const states = rows.reduce((sum, row) => sum + row.states, 0);
  const verdict = isClean
    ? `No promise was broken in ${spaced(states)} states` +
      (missing.length === 0 ? '.' : `; ${String(missing.length)} kinds of fault were NOT RUN.`)
    : `FAILED: ${failures.join('; ')}.`;
  const text = [
    `**${verdict}**`,
    '# Certificate\n\nWhat the crash and fault suites looked at, written by `npm run certificate` from what they said themselves.',
    `## What ran\n\n${legend}\n\n${renderRows(rows)}`,
    `## Branches of the protocol\n\n${renderBranches(input.branches)}`,
    `## Not run this time\n\n${renderMissing(missing)}`,
    `## Not tested at all\n\n${neverTested.map((line) => `- ${line}`).join('\n')}`,
    `## Suites\n\n${renderSuites(input.suites)}`,
    `## Versions\n\n${renderVersions(input.suites)}`,
  ].join('\n\n');
  return { text: `${text}\n`, isClean };
}

interface Row {
  readonly fault: Fault;
  readonly on: string;
  readonly native: Evidence['native'];
  readonly states: number;
  readonly violations: number;
  /** How many of the states are of which operation. */
  readonly operations: ReadonlyMap<string, number>;
  readonly notes: readonly string[];
}

/** Tests of one kind of fault may each tell of a part. */
function mergeRows(evidence: readonly Evidence[]): readonly Row[] {
  const rows = evidence.map(({ note, seed, operation, ...row }): Row => {
    const seeds = seed === undefined ? [] : [`seed ${String(seed)}`];
    const operations = new Map(operation === undefined ? [] : [[operation, row.states]]);
    return { ...row, operations, notes: note === undefined ? seeds : [note, ...seeds] };
  });
  return mergeEqual(rows, (one, other) => one + other);
}

/** Of what several runs looked at, the run with the most states counts. */
function mergeRuns(runs: readonly (readonly Row[])[]): readonly Row[] {
  const rows = mergeEqual(runs.flat(), Math.max);
  return rows.toSorted((a, b) => compare(a.fault, b.fault) || compare(a.on, b.on));
}

function mergeEqual(
  rows: readonly Row[],
  merge: (one: number, other: number) => number,
): readonly Row[] {
  const merged = new Map<string, Row>();
  for (const row of rows) {
    const key = JSON.stringify([row.fault, row.on, row.native]);
    const found = merged.get(key);
    const together = found === undefined ? row : mergeTwo(found, row, merge);
    merged.set(key, together);
  }
  return [...merged.values()];
}

function mergeTwo(one: Row, other: Row, merge: (one: number, other: number) => number): Row {
  const operations = new Map(one.operations);
  for (const [name, states] of other.operations) {
    operations.set(name, merge(operations.get(name) ?? 0, states));
  }
  return {
    ...one,
    operations,
    states: merge(one.states, other.states),
    violations: merge(one.violations, other.violations),
    notes: [...new Set([...one.notes, ...other.notes])],
  };
}

function missingKinds(
  rows: readonly Row[],
  { notRun }: Pick<CertificateInput, 'notRun'>,
): readonly NotRun[] {
  const ran = rows.filter(({ states }) => states > 0);
  const empty = rows
    .filter(({ states }) => states === 0)
    .map(({ fault, on }) => ({ fault, on, whyNot: 'it ran and looked at no state' }));
  const whyNots = new Map([...notRun, ...empty].map((one) => [JSON.stringify(one), one]));
  const told = [...whyNots.values()];
  const silent = expectedFaults
    .filter(({ fault, on }) => {
      const isMeant = (one: { readonly fault: string; readonly on: string }): boolean =>
        one.fault === fault && (on === undefined || isOn(one.on, on));
      return !ran.some(isMeant) && !told.some(isMeant);
    })
    .map(({ fault, on }) => ({ fault, on: on ?? 'any', whyNot: 'nothing says that it ran' }));
  return [...told, ...silent].toSorted((a, b) => compare(a.fault, b.fault));
}

/** `ext4, commit=1` is on `ext4`; `simulated ext4 noauto_da_alloc` is not on `simulated ext4`. */
function isOn(place: string, expected: string): boolean {
  return place === expected || place.startsWith(`${expected}, `);
}

function failuresOf(rows: readonly Row[], suites: readonly SuiteOutcome[]): readonly string[] {
  const failed = suites.filter((suite) => suite.failed > 0);
  const broken = rows.filter(({ violations }) => violations > 0);
  return [
    ...(suites.length === 0 ? ['no suite said how it ended'] : []),
    ...failed.map((suite) => `${String(suite.failed)} tests failed in ${suite.suite}`),
    ...broken.map(
      ({ fault, on, violations }) => `${String(violations)} violations by ${fault} on ${on}`,
    ),
  ];
}

// --- rendering -----------------------------------------------------------------------------------

function renderRows(rows: readonly Row[]): string {
  const cells = rows
    .filter(({ states, violations }) => states > 0 || violations > 0)
    .map(({ fault, on, native, states, violations, operations, notes }) => [
      fault,
      on,
      native,
      spaced(states),
      violations === 0 ? '0' : `**${String(violations)}**`,
      [renderOperations(operations), ...notes].filter((note) => note !== '').join('; '),
    ]);
  const heads = ['fault', 'file system', 'native part', 'states', 'violations', 'notes'];
  return cells.length === 0 ? 'Nothing.' : renderTable(heads, cells);
}

function renderOperations(operations: ReadonlyMap<string, number>): string {
  return [...operations].map(([name, states]) => `${name} ${spaced(states)}`).join(', ');
}

function renderMissing(missing: readonly NotRun[]): string {
  if (missing.length === 0) return 'Everything that a full run tries was run.';
  const cells = missing.map(({ fault, on, whyNot }) => [fault, on, whyNot]);
  return renderTable(['fault', 'file system', 'why not'], cells);
}

function renderBranches(branches: Branches | undefined): string {
  if (branches === undefined) return 'Not looked at: `npm run test:coverage` was not run.';
  const { modules, taken, explained, unexplained } = branches;
  const untaken = explained + unexplained;
  const reasons =
    unexplained === 0
      ? 'each with a reason (test/uncovered-branches.json)'
      : `**${spaced(unexplained)} of them without a reason**`;
  return `Coverage of the ${String(modules)} protocol modules (plan, apply, recover, undo, journal, lock): ${spaced(taken + untaken)} branches, ${spaced(untaken)} untaken, ${reasons}.`;
}

function renderSuites(suites: readonly SuiteOutcome[]): string {
  if (suites.length === 0) return 'None.';
  const cells = suites.map(({ suite, passed, failed, skipped }) => [
    suite,
    ...[passed, failed, skipped].map(String),
  ]);
  return renderTable(['suite', 'passed', 'failed', 'skipped'], cells);
}

/** Suites that ran on different machines each have a value of their own. */
function renderVersions(suites: readonly SuiteOutcome[]): string {
  const names = [...new Set(suites.flatMap(({ machine }) => Object.keys(machine)))];
  const cells = names.map((name) => {
    const values = new Set(suites.map(({ machine }) => machine[name] ?? 'not known'));
    return [name, [...values].join('; ')];
  });
  return cells.length === 0 ? 'Not known.' : renderTable(['of', 'version'], cells);
}

function renderTable(heads: readonly string[], cells: readonly (readonly string[])[]): string {
  const line = (values: readonly string[]): string =>
    `| ${values.map((value) => value.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...cells.map(line)].join('\n');
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** 1234567 as `1 234 567`. */
function spaced(count: number): string {
  return String(count).replaceAll(/(?<=\d)(?=(?:\d{3})+$)/g, ' ');
}
