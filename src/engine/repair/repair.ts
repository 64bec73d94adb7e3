import { collecting } from '../collect-objects.js';
import { isEngineError } from '../errors.js';
import type { Finding, FindingKind } from '../verify/finding.js';
import { ContentSources } from './content-sources.js';
import { proposeObject, proposeSnapshot } from './repair-objects.js';
import { proposePack } from './repair-packs.js';
import { finishMoves, proposeNote, proposeOrphan, proposeSlot } from './repair-stage.js';
import type { Proposal, Repair, RepairHost, Repairing, RepairOptions } from './repairing.js';

/*
 * 1. Verify.
 * 2. Open what is closed to its owner; recover. That may answer other findings: verify again.
 * 3. For each finding, look for the best source and say what would be done. A dry run ends here.
 * 4. Under the lock: write what was found beside its place, one barrier, then give it its name, and
 *    note what is lost. Killed at any moment, it leaves what the next repair finds again.
 * 5. What changes what the journal says of the root is a transaction of its own.
 */

/** Answered before anything else, and maybe the reason for other findings. */
const first: ReadonlySet<FindingKind> = new Set<FindingKind>([
  'directory-read-only',
  'owner-damaged',
  'recovery-pending',
  'transaction-blocked',
  'transaction-damaged',
]);

/** Returns what was done about each finding, in the order of the findings. */
export async function repair(
  { dryRun = false }: RepairOptions,
  host: RepairHost,
): Promise<readonly Repair[]> {
  const findings = await collect(host);
  const early = findings.filter(({ kind }) => first.has(kind));
  const repairs: Repair[] = [];
  for (const finding of early) {
    const proposal = proposeFirst(finding, host);
    repairs.push(dryRun ? planned(finding, proposal) : await carryOut(finding, proposal, host));
  }
  const isOver = early.length === 0 || dryRun;
  const rest = (isOver ? findings : await collect(host)).filter(({ kind }) => !first.has(kind));
  return [...repairs, ...(await repairRest(rest, dryRun, host))];
}

async function collect({ verify }: RepairHost): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of verify()) findings.push(finding);
  return findings;
}

async function repairRest(
  findings: readonly Finding[],
  dryRun: boolean,
  host: RepairHost,
): Promise<readonly Repair[]> {
  if (findings.length === 0) return [];
  using objects = host.verifying.openObjects();
  const repairing: Repairing = {
    ...host.verifying,
    host,
    objects,
    sources: new ContentSources(host.verifying, objects),
    moves: [],
    epoch: 0,
  };
  const proposals: { readonly finding: Finding; readonly proposal: Proposal }[] = [];
  for (const finding of findings) {
    proposals.push({ finding, proposal: await propose(finding, repairing) });
  }
  if (dryRun) return proposals.map(({ finding, proposal }) => planned(finding, proposal));
  const repairs = new Map<Finding, Repair>();
  await host.exclusively(async (epoch) => {
    repairing.epoch = epoch;
    try {
      for (const { finding, proposal } of proposals) {
        if (proposal.isTransaction === true) continue;
        repairs.set(finding, await carryOut(finding, proposal, host));
      }
      await finishMoves(repairing);
    } catch (error) {
      // guard: repair-stopped [host.isStopped() becomes false]
      if (host.isStopped()) {
        // I10: it may look well and be lost. Nobody came to rely on it: the lock was held all the time.
        await collecting(repairing.journal, () => {
          objects.removeAdded();
        });
      }
      throw error;
    }
  });
  const adopting = proposals.filter(({ proposal }) => proposal.isTransaction === true);
  const paths = adopting.flatMap(({ finding: { path } }) => (path === null ? [] : [path]));
  const adopted = paths.length === 0 ? undefined : await failureOf(() => host.adopt(paths), host);
  for (const { finding, proposal } of adopting) {
    repairs.set(finding, ended(finding, proposal, adopted));
  }
  return findings.flatMap((finding) => repairs.get(finding) ?? []);
}

function proposeFirst({ kind, place, transaction }: Finding, host: RepairHost): Proposal {
  if (kind === 'directory-read-only') {
    return {
      action: 'make-writable',
      message: `give the owner of ${place === '.' ? '.skillmeat' : `.skillmeat/${place ?? ''}`} all rights to it`,
      act: async () => {
        host.makeWritable(place ?? '.');
      },
    };
  }
  const what =
    transaction === null ? 'what the last writer left' : `transaction ${String(transaction)}`;
  return {
    action: 'recover',
    message: `finish or undo ${what}, as the next opening would`,
    act: async () => {
      const unresolved = await host.recover();
      const left = unresolved.find(({ id }) => id === transaction);
      if (left !== undefined) {
        throw new Error(
          `${left.reason}; decide with: skillmeat txn recover --redo ${String(left.id)} | --undo ${String(left.id)}`,
        );
      }
    },
  };
}

async function propose(finding: Finding, repairing: Repairing): Promise<Proposal> {
  switch (finding.kind) {
    case 'slot-missing':
    case 'slot-damaged':
      return proposeSlot(finding, repairing);
    case 'stage-orphan':
      return proposeOrphan(finding, repairing);
    case 'quarantine-unexplained':
    case 'quarantine-note-alone':
      return proposeNote(finding, repairing);
    case 'object-missing':
    case 'object-damaged':
    case 'object-orphan':
      return proposeObject(finding, repairing);
    case 'pack-missing':
    case 'pack-damaged':
      return proposePack(finding, repairing);
    case 'snapshot-damaged':
      return proposeSnapshot(finding, repairing);
    case 'drift':
      return {
        action: 'adopt',
        message: 'record it as a transaction; no file is touched',
        isTransaction: true,
        act: undefined,
      };
    case 'object-unreadable':
      return byHand('use Node 22.15 or newer');
    case 'path-unreadable':
      return byHand('look at the owner and mode of the file, and at the disk');
    case 'journal-damaged':
    case 'record-damaged':
    case 'head-lost':
    case 'store-unopenable':
      return byHand(
        'build the journal anew (rebuildStore); or restore .skillmeat/journal.db* from a backup',
        'rebuild',
      );
    case 'directory-read-only':
    case 'owner-damaged':
    case 'recovery-pending':
    case 'transaction-blocked':
    case 'transaction-damaged':
      return byHand('it came back; run repair again');
  }
}

function byHand(message: string, action: 'none' | 'rebuild' = 'none'): Proposal {
  return { action, message, act: undefined };
}

async function carryOut(finding: Finding, proposal: Proposal, host: RepairHost): Promise<Repair> {
  const { act } = proposal;
  if (act === undefined) return ended(finding, proposal, undefined);
  return ended(finding, proposal, await failureOf(act, host));
}

/** One finding that cannot be repaired keeps nothing else from being repaired. */
async function failureOf(act: () => Promise<void>, host: RepairHost): Promise<string | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    if (host.isStopped()) throw error;
    if (isEngineError(error, 'ABORTED', 'FENCED', 'COMMIT_UNKNOWN', 'STORE_POISONED')) throw error;
    if (error instanceof TypeError || !(error instanceof Error)) throw error;
    if (error.message.startsWith('bug: ')) throw error;
    return error.message;
  }
}

function planned(finding: Finding, { action, message }: Proposal): Repair {
  const outcome = isByHand(action) ? 'by-hand' : 'planned';
  return { finding, action, message, outcome, error: null };
}

function ended(finding: Finding, { action, message }: Proposal, error: string | undefined): Repair {
  if (isByHand(action)) return { finding, action, message, outcome: 'by-hand', error: null };
  const outcome = error === undefined ? 'done' : 'failed';
  return { finding, action, message, outcome, error: error ?? null };
}

/** An open store cannot build its own journal anew. */
function isByHand(action: Proposal['action']): boolean {
  return action === 'none' || action === 'rebuild';
}
