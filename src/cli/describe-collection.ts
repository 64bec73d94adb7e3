import {
  type Artifact,
  type ArtifactKey,
  type ArtifactState,
  type CollectionChange,
  type CollectionFinding,
  type CollectionStatus,
  addressOf,
} from '../collection/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** How wide a column of names may get. */
const nameWidthMax = 40;
/** More artifacts than these are counted. */
const namedMax = 10;

/** `skill/canvas` */
function describeKey(key: ArtifactKey): string {
  return printable(addressOf(key));
}

/** A line for each artifact: type, name, version, where it is from. */
export function describeArtifacts(artifacts: readonly Artifact[], style: Style): string {
  if (artifacts.length === 0) return 'No artifacts.';
  const widest = Math.max(...artifacts.map(({ name }) => printable(name).length));
  const width = Math.min(widest, nameWidthMax);
  const typeWidth = Math.max(...artifacts.map(({ type }) => type.length));
  return artifacts
    .map((artifact) => {
      const { type, name, tags } = artifact;
      const rest = [describeVersion(artifact), ...tags.map((tag) => `#${tag}`)];
      const columns = [
        printable(type).padEnd(typeWidth),
        style.strong(printable(name).padEnd(width)),
        style.faint(printable(rest.join('  '))),
      ];
      return columns.join('  ').trimEnd();
    })
    .join('\n');
}

function describeVersion({ origin, upstream, resolvedSha, resolvedVersion }: Artifact): string {
  if (upstream === undefined) return origin;
  const version = resolvedVersion ?? resolvedSha?.slice(0, 7);
  return version === undefined ? upstream : `${upstream} @ ${version}`;
}

/** All that the manifest and the lock say of an artifact. */
export function describeArtifact(artifact: Artifact, state: ArtifactState, style: Style): string {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['Name', artifact.name],
    ['Type', artifact.type],
    ['Path', artifact.path],
    ['State', stateWords[state]],
    ['Title', artifact.metadata.title],
    ['Description', artifact.metadata.description],
    ['Author', artifact.metadata.author],
    ['License', artifact.metadata.license],
    ['Origin', artifact.origin],
    ['Upstream', artifact.upstream],
    ['Version', artifact.versionSpec],
    ['Resolved', artifact.resolvedVersion],
    ['Commit', artifact.resolvedSha],
    ['Added', artifact.added === '' ? undefined : artifact.added],
    ['Updated', artifact.lastUpdated],
    ['Tags', artifact.tags.length === 0 ? undefined : artifact.tags.join(', ')],
  ];
  return rows
    .flatMap(([label, text]) =>
      text === undefined ? [] : [`${style.strong(`${label}:`.padEnd(12))} ${printable(text)}`],
    )
    .join('\n');
}

const stateWords: Readonly<Record<ArtifactState, string>> = {
  unchanged: 'as installed',
  modified: 'edited by hand',
  missing: 'missing',
  broken: 'broken: see skillmeat status',
};

const stateLetters: Readonly<Record<Exclude<ArtifactState, 'unchanged'>, string>> = {
  modified: 'M',
  missing: '!',
  broken: '!',
};

export function describeCollectionStatus(
  root: string,
  { artifacts, findings, untracked }: CollectionStatus,
  style: Style,
): string {
  const lines = [
    `${style.strong('Collection:')} ${printable(root)}, ${counted(artifacts.length, 'artifact')}`,
  ];
  for (const { artifact, state } of artifacts) {
    if (state === 'unchanged') continue;
    const words = state === 'broken' ? 'breaks a rule' : stateWords[state];
    lines.push(
      `${stateLetters[state]} ${printable(`${artifact.type}/${artifact.name}`)}  ${words}`,
    );
  }
  for (const path of untracked) {
    lines.push(`? ${printable(path)}  no artifact (name it: skillmeat import)`);
  }
  for (const finding of findings) lines.push(style.alarming(describeFinding(finding)));
  if (lines.length === 1) lines.push('Everything is as the lock has it.');
  return lines.join('\n');
}

/** `C2 collection.lock: skill canvas is in the manifest and not in the lock` */
export function describeFinding({ rule, path, message }: CollectionFinding): string {
  return printable(`${rule} ${path}: ${message}`);
}

/** `Added skill/canvas (transaction 5).` */
export function describeCollectionChange(
  { receipt, artifacts }: CollectionChange,
  {
    done,
    planned,
    isDryRun,
  }: { readonly done: string; readonly planned: string; readonly isDryRun: boolean },
): string {
  const { transaction } = receipt;
  if (transaction === null) return 'Nothing to change.';
  const names =
    artifacts.length > namedMax
      ? counted(artifacts.length, 'artifact')
      : artifacts.map(describeKey).join(', ');
  if (isDryRun) return `Would ${planned} ${names}: ${counted(transaction.changes.length, 'path')}.`;
  return `${done} ${names} (transaction ${String(transaction.id)}).`;
}
