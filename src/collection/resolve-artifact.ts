import {
  addressOf,
  type ArtifactKey,
  idOf,
  isArtifactType,
  keyOf,
  parseArtifactType,
} from './artifact.js';
import { CollectionError } from './errors.js';
import type { Manifest } from './manifest.js';

/** More matches than these are counted. */
const namedMax = 3;

/**
 * Returns the artifact that a person means: `name`, or `type/name` where that is ambiguous.
 *
 * @throws {CollectionError} `ARTIFACT_NOT_FOUND`, `ARTIFACT_AMBIGUOUS`.
 */
export function resolveArtifact(manifest: Manifest, address: string): ArtifactKey {
  const exact = typed(address);
  if (exact !== undefined && manifest.has(exact)) return exact;
  const matches = byName(manifest).get(address.normalize('NFC')) ?? [];
  const [first, second] = matches;
  if (first === undefined) {
    throw new CollectionError('ARTIFACT_NOT_FOUND', `the collection has no "${address}"`, {
      path: address,
      hint: similarHint(manifest, address),
    });
  }
  if (second === undefined) return first;
  const choices = matches.map((key) => addressOf(key)).toSorted();
  throw new CollectionError(
    'ARTIFACT_AMBIGUOUS',
    `"${address}" names ${String(matches.length)} artifacts`,
    {
      path: address,
      hint: `Say which: ${choices.join(', ')}.`,
    },
  );
}

/** The artifacts of manifests, which never change, by their names: thousands may be asked for at once. */
const known = new WeakMap<Manifest, ReadonlyMap<string, readonly ArtifactKey[]>>();

function byName(manifest: Manifest): ReadonlyMap<string, readonly ArtifactKey[]> {
  const found = known.get(manifest);
  if (found !== undefined) return found;
  const names = new Map<string, ArtifactKey[]>();
  for (const key of manifest.keys) {
    const { name } = idOf(key);
    const same = names.get(name);
    if (same === undefined) names.set(name, [key]);
    else same.push(key);
  }
  known.set(manifest, names);
  return names;
}

function typed(address: string): ArtifactKey | undefined {
  const at = address.indexOf('/');
  const type = address.slice(0, Math.max(at, 0));
  const name = address.slice(at + 1).normalize('NFC');
  if (type === '') return undefined;
  try {
    return keyOf({ type: isArtifactType(type) ? type : parseArtifactType(type), name });
  } catch {
    // Another program's type.
    return keyOf({ type, name });
  }
}

function similarHint(manifest: Manifest, address: string): string {
  const wanted = (address.split('/').at(-1) ?? '').toLowerCase();
  const similar = [...manifest.keys]
    .map(idOf)
    .filter(({ name }) => wanted !== '' && name.toLowerCase().includes(wanted))
    .slice(0, namedMax)
    .map(({ type, name }) => `${type}/${name}`);
  return similar.length > 0 ? `Did you mean ${similar.join(' or ')}?` : 'See: skillmeat list';
}
