import { collectObjects } from '../collect-objects.js';
import { assert, isEngineError } from '../errors.js';
import type { Place } from '../file-system.js';
import { type ContentHash, parseContentHash } from '../hash.js';
import { unnamedObjectAgeMs } from '../limits.js';
import { quote } from '../path.js';
import type { Finding } from '../verify/finding.js';
import { type ContentSource, writeContent } from './content-sources.js';
import { count } from './find-snapshots.js';
import type { Proposal, Repairing } from './repairing.js';

/** A content or a listing that a snapshot names, or one that none does. */
export async function proposeObject(finding: Finding, repairing: Repairing): Promise<Proposal> {
  const sha256 = parseContentHash(finding.sha256 ?? '');
  assert(sha256 !== undefined, 'an object has a hash');
  if (finding.kind === 'object-orphan') return proposeRemoval(repairing);
  const { path, place } = finding;
  const source = await repairing.sources.find({ sha256, path, except: place });
  if (source !== undefined) {
    return {
      action: 'restore',
      message: `store it again from ${source.name}`,
      act: () => storeAgain(sha256, source, repairing),
    };
  }
  const listing = await listingNow(sha256, finding, repairing);
  if (listing !== undefined) {
    return {
      action: 'restore',
      message: 'store it again: the directory is still as it was then',
      act: async () => {
        await repairing.objects.put(listing, sha256);
      },
    };
  }
  return path === null ? proposeDrop(sha256, repairing) : proposeLoss(sha256, path, repairing);
}

function proposeRemoval(repairing: Repairing): Proposal {
  return {
    action: 'remove',
    message: 'remove it, as the next deletion of a snapshot would',
    act: async () => {
      const blocked = await collect(repairing);
      if (blocked !== null) throw new Error(blocked);
    },
  };
}

/** Removes what no snapshot names and is old enough. @returns why it could not. */
async function collect({ journal, objects, looking, now }: Repairing): Promise<string | null> {
  const beforeMs = now() - unnamedObjectAgeMs;
  const { pace } = looking;
  return (await collectObjects({ journal, objects, pace, beforeMs })).blocked;
}

async function storeAgain(
  sha256: ContentHash,
  source: ContentSource,
  { objects, looking, directory, host }: Repairing,
): Promise<void> {
  const { files } = looking;
  const draft: Place = { directory: directory.stage, name: `repair-${host.newId()}` };
  const isWritten = await writeContent(looking, source, { draft, sha256, mode: 0o600 });
  if (!isWritten) throw new Error(`${source.name} was changed meanwhile; try again`);
  const file = files.openForReading(draft);
  try {
    await objects.putFile(file, () => true);
  } finally {
    files.closeFile(file);
    files.removeFile(draft);
  }
}

async function listingNow(
  sha256: ContentHash,
  { snapshot }: Finding,
  { journal, host }: Repairing,
): Promise<Uint8Array | undefined> {
  const row = journal.snapshots.examine().find(({ id }) => id === snapshot)?.row;
  if (row === undefined) return undefined;
  try {
    return (await host.listingsNow(row)).get(sha256);
  } catch (error) {
    // The directory cannot be read: no source.
    if (isEngineError(error)) return undefined;
    throw error;
  }
}

function proposeLoss(
  sha256: ContentHash,
  path: string,
  { journal, objects, quarantine, now }: Repairing,
): Proposal {
  return {
    action: 'accept-loss',
    message: `note that ${quote(path)} of these snapshots is lost: nothing has it. Damaged bytes go to quarantine`,
    act: async () => {
      const place = objects.placeOf(sha256);
      const why = `found by repair: a damaged object of the snapshots, ${sha256}`;
      if (place !== undefined) quarantine.takeIn(place, { path, transaction: 0, why });
      journal.noteLoss(sha256, now());
    },
  };
}

/** Without its root's listing nothing of a snapshot can be brought back. */
function proposeDrop(sha256: ContentHash, repairing: Repairing): Proposal {
  const { journal } = repairing;
  const dropped = journal.snapshots.examine().filter(({ row }) => row?.sha256 === sha256);
  const names = dropped.map(({ id }) => String(id)).join(', ');
  return {
    action: 'drop-snapshot',
    message: `delete the record of snapshot ${names}: the list of what it holds is lost, and is nowhere else`,
    act: async () => {
      for (const { id } of dropped) journal.snapshots.remove(id, repairing.epoch);
      await collect(repairing);
    },
  };
}

/** A row of a snapshot that does not match its checksum. */
export async function proposeSnapshot(finding: Finding, repairing: Repairing): Promise<Proposal> {
  const { journal, objects } = repairing;
  const claimed = journal.snapshots.examine().find(({ id }) => id === finding.snapshot)?.claimed;
  const counts = claimed === undefined ? undefined : await count(objects, claimed.sha256);
  const row = claimed === undefined || counts === undefined ? undefined : { ...claimed, ...counts };
  if (row === undefined) {
    const id = finding.snapshot ?? 0;
    return {
      action: 'drop-snapshot',
      message: 'delete the record: what it names cannot be read',
      act: async () => {
        journal.snapshots.remove(id, repairing.epoch);
        await collect(repairing);
      },
    };
  }
  return {
    action: 'rewrite-record',
    message: `count anew what it holds (${String(row.files)} files), and keep its words as they are: they may be wrong`,
    act: async () => {
      if (!objects.has(row.sha256)) throw new Error('its listing is gone by now');
      journal.snapshots.rewrite(row, repairing.epoch);
    },
  };
}
