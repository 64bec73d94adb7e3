import {
  Collection,
  CollectionError,
  type CollectionFinding,
  CollectionReader,
  type CollectionRepair,
} from '../collection/index.js';
import { isEngineError, type Store } from '../engine/index.js';
import { toJsonFinding } from './artifact-json.js';
import { collectionAtHand, collectionInUse, givenCollection } from './collection-root.js';
import type { Context } from './context.js';
import { describeFinding } from './describe-collection.js';
import { isCollection } from './home.js';
import { printable } from './printable.js';

/** What `verify` and `repair` have to say of the collection in a store's root. */
export interface CollectionAnswer {
  readonly json: readonly object[];
  /** One for each finding. */
  readonly lines: readonly string[];
  /** How many findings there are, or are left. */
  readonly count: number;
  /** How many `repair --yes` would answer. */
  readonly planned: number;
}

/** Looks at the rules C1–C4 of the collection at `root`; `undefined` when it is none. Edits by hand are no finding. */
export async function verifyCollection(root: string): Promise<CollectionAnswer | undefined> {
  if (!isCollection(root)) return undefined;
  const findings = await findingsIn(root);
  return {
    json: findings.map(toJsonFinding),
    lines: findings.map((finding) => `DAMAGE   ${describeFinding(finding)}`),
    count: findings.length,
    planned: 0,
  };
}

/** Answers what {@link verifyCollection} finds; `undefined` when it is no collection. */
export async function repairCollection(
  store: Store,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<CollectionAnswer | undefined> {
  if (!isCollection(store.root)) return undefined;
  const { repairs } = await new Collection(store).repair(options);
  const left = options.dryRun ? repairs : repairs.filter(({ action }) => action === 'none');
  return {
    json: repairs.map(({ finding, action, message }) => ({
      finding: toJsonFinding(finding),
      action,
      message,
      outcome: outcomeOf(action, options.dryRun),
    })),
    lines: repairs.flatMap(({ finding, action, message }) => [
      describeFinding(finding),
      `  ${words[outcomeOf(action, options.dryRun)].padEnd(8)} ${printable(message)}`,
    ]),
    count: left.length,
    planned: options.dryRun ? repairs.filter(({ action }) => action !== 'none').length : 0,
  };
}

/** Says of a collection without a store that is broken what is, and that nothing earlier is kept. */
export async function explainWithoutStore(error: unknown, context: Context): Promise<unknown> {
  if (!context.options.usesCollection || !isEngineError(error, 'STORE_NOT_FOUND')) return error;
  const root = givenCollection(context.options) ?? collectionAtHand() ?? collectionInUse();
  if (root === undefined || !isCollection(root)) return error;
  const [broken] = await new CollectionReader(root).brokenFiles();
  if (broken === undefined) return error;
  return new CollectionError('TOML_INVALID', broken.message, {
    path: broken.path,
    cause: error,
    hint: 'Correct that place by hand: this collection has no store, so no earlier version is kept.',
  });
}

async function findingsIn(root: string): Promise<readonly CollectionFinding[]> {
  const reader = new CollectionReader(root);
  const broken = await reader.brokenFiles();
  return broken.length > 0 ? broken : (await reader.status()).findings;
}

type Outcome = 'planned' | 'done' | 'by-hand';

const words: Readonly<Record<Outcome, string>> = {
  planned: 'would',
  done: 'done',
  'by-hand': 'by hand',
};

function outcomeOf(action: CollectionRepair['action'], isDryRun: boolean): Outcome {
  if (action === 'none') return 'by-hand';
  return isDryRun ? 'planned' : 'done';
}
