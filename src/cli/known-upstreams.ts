import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Artifact,
  type ArtifactKey,
  type CollectionFiles,
  type SeenUpstream,
  type UpdateLook,
  upstreamName,
} from '../collection/index.js';
import { replaceFile } from './home.js';
import { homePath } from './store-root.js';

/** What upstream had, and when somebody asked. */
export interface KnownUpstream extends SeenUpstream {
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** More are forgotten, the oldest first. */
const knownMax = 20_000;

/**
 * What upstreams had when they were asked last, so that `status` can tell without a network. It may be
 * deleted at any time, and two programs that write it may lose what one of them knew.
 */
export class KnownUpstreams {
  readonly #byName: Map<string, KnownUpstream>;

  constructor() {
    this.#byName = readKnown();
  }

  /** What is known of an artifact's upstream. */
  of(artifact: Artifact): KnownUpstream | undefined {
    const name = upstreamName(artifact);
    return name === undefined ? undefined : this.#byName.get(name);
  }

  /** Keeps what was seen. */
  remember(looks: readonly UpdateLook[]): void {
    this.#keep(
      looks.flatMap((look) =>
        look.kind === 'available' || look.kind === 'current' ? [[look.artifact, look.seen]] : [],
      ),
    );
  }

  /** Keeps that upstream has what was fetched just now and is installed. */
  rememberInstalled({ manifest, lock }: CollectionFiles, keys: readonly ArtifactKey[]): void {
    this.#keep(
      keys.flatMap((key) => {
        const [artifact, entry] = [manifest.get(key), lock.get(key)];
        if (artifact === undefined || entry === undefined) return [];
        const { resolvedSha: sha, resolvedVersion: version } = artifact;
        return [[artifact, { sha, version, contentHash: entry.contentHash }]];
      }),
    );
  }

  /** A home that cannot be written to knows it for this command only. */
  #keep(seen: readonly (readonly [Artifact, SeenUpstream])[]): void {
    const at = new Date().toISOString();
    for (const [artifact, upstream] of seen) {
      const name = upstreamName(artifact);
      if (name === undefined) continue;
      // The newest are last.
      this.#byName.delete(name);
      this.#byName.set(name, { ...upstream, at });
    }
    const entries = [...this.#byName].slice(-knownMax);
    try {
      replaceFile(location(), `${JSON.stringify(Object.fromEntries(entries))}\n`);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
}

function location(): string {
  return join(homePath(), 'cache', 'upstreams.json');
}

/** What cannot be read, or is not ours, is nothing known. */
function readKnown(): Map<string, KnownUpstream> {
  try {
    const found: unknown = JSON.parse(readFileSync(location(), 'utf8'));
    if (typeof found !== 'object' || found === null) return new Map();
    return new Map(
      Object.entries(found).flatMap(([name, value]): [string, KnownUpstream][] => {
        const known = parseKnown(value);
        return known === undefined ? [] : [[name, known]];
      }),
    );
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error)) {
      return new Map();
    }
    throw error;
  }
}

function parseKnown(value: unknown): KnownUpstream | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { sha, version, contentHash, at } = value as Readonly<Record<string, unknown>>;
  if (typeof contentHash !== 'string' || typeof at !== 'string') return undefined;
  const textOrNothing = (text: unknown): string | undefined =>
    typeof text === 'string' ? text : undefined;
  return { sha: textOrNothing(sha), version: textOrNothing(version), contentHash, at };
}
