import {
  Collection,
  type CollectionFinding,
  CollectionReader,
  type CollectionRepair,
  isCollectionError,
  manifestName,
} from '../collection/index.js';
import type { Store } from '../engine/index.js';
import { toJsonFinding } from './artifact-json.js';
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
  const unreadable = await unreadableIn(store.root);
  const { repairs } =
    unreadable === undefined
      ? await new Collection(store).repair(options)
      : { repairs: [correctByHand(unreadable)] };
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

async function findingsIn(root: string): Promise<readonly CollectionFinding[]> {
  const unreadable = await unreadableIn(root);
  return unreadable === undefined
    ? (await new CollectionReader(root).status()).findings
    : [unreadable];
}

/** Returns what is wrong with a manifest or lock that cannot be read as TOML (C1). */
async function unreadableIn(root: string): Promise<CollectionFinding | undefined> {
  try {
    const { manifest, lock } = await new CollectionReader(root).files();
    manifest.all();
    lock.all();
    return undefined;
  } catch (error) {
    if (!isCollectionError(error, 'TOML_INVALID')) throw error;
    const { message, path = manifestName } = error;
    return { rule: 'C1', artifact: null, path, message, isMissing: false };
  }
}

function correctByHand(finding: CollectionFinding): CollectionRepair {
  const { path } = finding;
  return {
    finding,
    action: 'none',
    message: `correct ${path} by hand, or bring an earlier one back`,
  };
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
