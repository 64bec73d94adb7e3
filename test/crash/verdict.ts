import type { EngineErrorCode } from '../../src/engine/index.js';
import type { Step } from './observation.js';

/** Of a store that was damaged, against the same store that was not. */
export type Verdict =
  /** Everything is as without the damage. */
  | 'equal'
  /** What differs was named, by an error or a finding, and nothing false was written. */
  | 'detected'
  | { readonly wrong: string };

/** Errors that say that something of the store is not as it was left. */
const detecting: ReadonlySet<EngineErrorCode> = new Set<EngineErrorCode>([
  'JOURNAL_DAMAGED',
  'JOURNAL_FOREIGN',
  'STORE_FORMAT_NEWER',
  'STORE_DETACHED',
  'HISTORY_DAMAGED',
  'DAMAGED',
  'STORE_POISONED',
]);

export interface Judging {
  /** Of the store without damage. */
  readonly expected: readonly Step[];
  readonly found: readonly Step[];
  /** The tree before anything was done. */
  readonly tree: readonly string[];
  /** Every line of a tree that was right at some time: nothing else may ever be in place. */
  readonly known: ReadonlySet<string>;
}

export function judge({ expected, found, tree, known }: Judging): Verdict {
  let before = tree;
  let isDetected = false;
  /** After recovery named what it could not do, what is told of those transactions differs. */
  let isExcused = false;
  let named = '';
  for (const [i, step] of found.entries()) {
    const wanted = expected[i];
    if (wanted?.name !== step.name) return wrong(step, `expected ${wanted?.name ?? 'the end'}`);
    if (step.hasFindings) named += step.told ?? '';
    const stranger = step.tree?.find((line) => !known.has(line) && !isNamed(line, named));
    if (stranger !== undefined) return wrong(step, `${stranger} was never there`);
    const isSame = step.told === wanted.told && step.error === wanted.error;
    if (step.error !== undefined && step.tree !== undefined && !isSameTree(step.tree, before)) {
      return wrong(step, `it failed with ${step.error}, and something was written`);
    }
    // What recovery could only name is in place from then on.
    if (isSame && (isExcused || isSameTree(step.tree, wanted.tree))) {
      before = step.tree ?? before;
      continue;
    }
    if (step.error !== undefined) {
      const isNamedBefore = isExcused && ['BLOCKED', 'HISTORY_PRUNED'].includes(step.error);
      // One flipped bit of its header makes a database read-only.
      const isReadOnly = step.error === 'READ_ONLY' && step.message.startsWith('the journal');
      if (!detecting.has(step.error) && !isNamedBefore && !isReadOnly) {
        return wrong(step, `${step.error}: ${step.message}`);
      }
    } else if (!step.hasFindings && !isExcused) {
      return wrong(
        step,
        `told ${step.told ?? ''} instead of ${wanted.told ?? wanted.error ?? ''}${treesOf(step, wanted)}`,
      );
    }
    if (step.name === 'open' || step.name === 'status') isExcused ||= step.hasFindings;
    isDetected = true;
    before = step.tree ?? before;
  }
  if (found.length < expected.length && !isDetected) return { wrong: 'it ended early' };
  return isDetected ? 'detected' : 'equal';
}

/**
 * What an undone transaction had displaced may have been edited meanwhile: recovery puts it back, and
 * says so, because no hash tells a late edit from a damage (I3).
 */
function isNamed(line: string, named: string): boolean {
  return named.includes(JSON.stringify(line.split(' ')[0]));
}

function treesOf(step: Step, wanted: Step): string {
  if (isSameTree(step.tree, wanted.tree)) return '';
  const lines = (tree: Step['tree'], other: Step['tree']): string =>
    (tree ?? []).filter((line) => other?.includes(line) !== true).join('; ');
  return `; in place ${lines(step.tree, wanted.tree)} instead of ${lines(wanted.tree, step.tree)}`;
}

function isSameTree(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a?.join('\n') === b?.join('\n');
}

function wrong({ name }: Step, what: string): Verdict {
  return { wrong: `${name}: ${what.slice(0, 600)}` };
}
