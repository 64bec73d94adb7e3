/** Collections of stamped skills for benches, made without a store. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  plantStamped,
  stampedFacts,
  stampedHash,
  stampedNames,
} from '../test/crash/children/stamped.mjs';

/** Files of one artifact. */
export const filesPerArtifact = stampedNames.length;

/** What the artifact is called. */
export function nameOf(index: number): string {
  return `skill-${String(index).padStart(5, '0')}`;
}

/** Makes artifacts in version 0, with manifest and lock, in a directory that is there. */
export function plantCollection(root: string, artifacts: number): void {
  const { upstream, resolvedSha, resolvedVersion } = stampedFacts(0);
  const manifest = ['[collection]\nname = "bench"\nversion = "1.0.0"\n'];
  const lock = ['[lock]\nversion = "1.0.0"\n\n[lock.entries]\n'];
  const hash = stampedHash(0);
  const resolved =
    `upstream = "${upstream}"\nresolved_sha = "${resolvedSha}"\n` +
    `resolved_version = "${resolvedVersion}"\n`;
  for (let index = 0; index < artifacts; index += 1) {
    const name = nameOf(index);
    plantStamped(join(root, 'skills', name), 0);
    manifest.push(
      `[[artifacts]]\nname = "${name}"\ntype = "skill"\npath = "skills/${name}"\norigin = "github"\n` +
        `added = "2026-01-01T00:00:00.000000"\nversion_spec = "latest"\n${resolved}`,
    );
    lock.push(
      `[lock.entries."${name}::skill"]\ncontent_hash = "${hash}"\n` +
        `fetched = "2026-01-01T00:00:00.000000"\n${resolved}`,
    );
  }
  writeFileSync(join(root, 'collection.toml'), manifest.join('\n'));
  writeFileSync(join(root, 'collection.lock'), lock.join('\n'));
}
