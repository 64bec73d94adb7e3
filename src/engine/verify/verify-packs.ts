import type { ContentHash } from '../hash.js';
import type { Journal } from '../journal.js';
import type { ObjectStore } from '../object-store.js';
import { type PackName, describePack, packFileName } from '../packs.js';
import { slotsOf } from '../packable-slots.js';
import { neededBySnapshots } from '../pack-contents.js';
import { damageOf } from '../write-pack.js';
import { toFinding } from './finding.js';
import type { Part, Verifying } from './verifying.js';

/**
 * Each pack that must be there, and each that is: its index and length, or all of it. What cannot be
 * had from one any more, the parts about slots and objects name one by one.
 */
export const verifyPacks: Part = async function* (verifying, wants) {
  const { journal, looking, isDeep, broken, count } = verifying;
  const { files, pace } = looking;
  using objects = verifying.openObjects();
  const packs = objects.packs.list();
  const brokenCopies = new Map<ContentHash, number>();
  const there = new Set(packs.map(({ name }) => name));
  for (const [name, contents] of journal.packs.list()) {
    if (there.has(name) || !wants(name)) continue;
    const message = `${describePack(name)} is missing, with ${String(contents)} contents: what is nowhere else is named by itself`;
    yield { unit: name, finding: toFinding('pack-missing', message, { place: placeOf(name) }) };
  }
  for (const pack of packs) {
    if (!wants(pack.name)) continue;
    if (pace.isDue()) await pace.turn();
    count('packs');
    const own = new Set<ContentHash>();
    const onBroken = (sha256: ContentHash): void => {
      own.add(sha256);
    };
    const unread = typeof pack.index === 'string' ? pack.index : undefined;
    const damage = isDeep ? await damageOf(pack, { objects, files, pace, onBroken }) : unread;
    if (damage === undefined) continue;
    for (const sha256 of own) brokenCopies.set(sha256, (brokenCopies.get(sha256) ?? 0) + 1);
    const needing = own.size === 0 ? '' : await describeNeeding(own, verifying, objects);
    const message = `${describePack(pack.name)} is damaged: ${damage}${needing}`;
    const details = { place: placeOf(pack.name) };
    yield { unit: pack.name, finding: toFinding('pack-damaged', message, details) };
  }
  broken.clear();
  for (const [sha256, copies] of brokenCopies) {
    // A whole copy in another pack is as good.
    if (copies >= objects.packs.copies(sha256).length) broken.add(sha256);
  }
};

function placeOf(name: PackName): string {
  return `objects/${packFileName(name)}`;
}

/** Returns who needs what is broken: `; needed by transactions 3, 4 and snapshots 1`. */
async function describeNeeding(
  broken: ReadonlySet<ContentHash>,
  { journal, directory, looking }: Verifying,
  objects: ObjectStore,
): Promise<string> {
  const transactions = new Set<number>();
  for (const { transaction, files } of slotsOf(journal, directory.stage)) {
    if (files.some(({ image }) => broken.has(image.sha256))) transactions.add(transaction.id);
  }
  const needing = [
    ['transactions', [...transactions].toSorted((one, other) => one - other)],
    ['snapshots', await snapshotsNeeding(broken, journal, objects, looking.pace)],
  ] as const;
  const parts = needing.flatMap(([what, ids]) => {
    const more = ids.length > namedMax ? ` and ${String(ids.length - namedMax)} more` : '';
    return ids.length === 0 ? [] : [`${what} ${ids.slice(0, namedMax).join(', ')}${more}`];
  });
  return parts.length === 0 ? '; nothing needs them' : `; needed by ${parts.join(', by ')}`;
}

const namedMax = 20;

async function snapshotsNeeding(
  broken: ReadonlySet<ContentHash>,
  journal: Journal,
  objects: ObjectStore,
  pace: Verifying['looking']['pace'],
): Promise<readonly number[]> {
  const ids: number[] = [];
  for (const { id, row } of journal.snapshots.examine()) {
    if (row === undefined) continue;
    const needed = await neededBySnapshots([row], objects, pace);
    // One whose list cannot be read may need them.
    if (typeof needed === 'string' || [...broken].some((one) => needed.has(one))) ids.push(id);
  }
  return ids.toSorted((one, other) => one - other);
}
