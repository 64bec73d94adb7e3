import { collecting } from '../collect-objects.js';
import { assert } from '../errors.js';
import type { ContentHash } from '../hash.js';
import { packContentBytesMax } from '../limits.js';
import { groupForPacks } from '../pack-contents.js';
import { type Pack, type PackName, parsePackFileName } from '../packs.js';
import type { Finding } from '../verify/finding.js';
import { type ContentToPack, writePack } from '../write-pack.js';
import type { Proposal, Repairing } from './repairing.js';

/** A pack that is missing, or not what it must be. */
export function proposePack({ kind, place }: Finding, repairing: Repairing): Proposal {
  const name = parsePackFileName((place ?? '').replace(/^objects\//, ''));
  assert(name !== undefined, 'a finding about a pack names it');
  if (kind === 'pack-missing') {
    return {
      action: 'drop-pack',
      message: 'note that it is gone; what it held and nothing else holds is answered by itself',
      act: async () => {
        repairing.journal.packs.remove([name], repairing.epoch);
      },
    };
  }
  return {
    action: 'rewrite-pack',
    message:
      'pack what can be read of it, or found elsewhere, once more, and move it to quarantine; what it held and nothing else holds is answered by itself',
    act: () => rewrite(name, repairing),
  };
}

async function rewrite(name: PackName, repairing: Repairing): Promise<void> {
  const { objects, journal, looking, epoch, quarantine, host } = repairing;
  const { files, pace } = looking;
  objects.packs.forget();
  const pack = objects.packs.list().find((one) => one.name === name);
  // Gone meanwhile: the next look says so.
  if (pack === undefined) return;
  const writing = { objects, journal, files, pace, barrier: host.barrier, epoch };
  const written = new Set<PackName>();
  for (const group of groupForPacks(contentsOf(pack, repairing))) {
    const one = await writePack(group, writing);
    if (one !== undefined) written.add(one.name);
  }
  // All of it was found elsewhere: the same contents are the same pack, and it is whole again.
  if (written.has(name)) return;
  await collecting(journal, () => {
    journal.packs.remove([name], epoch);
    const why = 'found by repair: a damaged pack; what could be read of it was packed once more';
    quarantine.takeIn(pack.place, { path: pack.place.name, transaction: 0, why });
    objects.packs.forget();
  });
}

function contentsOf(
  pack: Pack,
  repairing: Repairing,
): readonly (ContentToPack & { readonly path: string })[] {
  if (typeof pack.index === 'string') return [];
  const { objects } = repairing;
  return pack.index.entries.map((entry, at) => ({
    ...entry,
    // As they were.
    path: String(at).padStart(12, '0'),
    read: async () => {
      try {
        return await objects.packs.readFrom({ ...entry, pack });
      } catch {
        return readElsewhere(entry.sha256, repairing);
      }
    },
  }));
}

async function readElsewhere(
  sha256: ContentHash,
  { sources }: Repairing,
): Promise<Uint8Array | undefined> {
  const source = await sources.find({ sha256, path: null, except: null });
  if (source === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of source.pieces()) {
    size += piece.length;
    if (size > packContentBytesMax) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
