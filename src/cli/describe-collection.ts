import {
  type Artifact,
  type ArtifactKey,
  type ArtifactState,
  type ArtifactStatus,
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

const stateLetters: Readonly<Record<ArtifactState, string>> = {
  unchanged: '↑',
  modified: 'M',
  missing: '!',
  broken: '!',
};

/** What upstream was last seen to have. */
export interface UpstreamStatus {
  readonly isOutdated: boolean;
  readonly sha: string | null;
  readonly version: string | null;
  /** ISO 8601, UTC. */
  readonly seenAt: string;
}

interface DescribedArtifact extends ArtifactStatus {
  readonly upstream: UpstreamStatus | undefined;
}

export function describeCollectionStatus(
  root: string,
  {
    artifacts,
    findings,
    untracked,
    asked,
  }: Omit<CollectionStatus, 'artifacts'> & {
    readonly artifacts: readonly DescribedArtifact[];
    /** Whether upstream was asked just now. */
    readonly asked: boolean;
  },
  style: Style,
): string {
  const lines = [
    `${style.strong('Collection:')} ${printable(root)}, ${counted(artifacts.length, 'artifact')}`,
  ];
  for (const { artifact, state, upstream } of artifacts) {
    const isBehind = upstream?.isOutdated === true;
    if (state === 'unchanged' && !isBehind) continue;
    const words = [
      ...(state === 'unchanged' ? [] : [state === 'broken' ? 'breaks a rule' : stateWords[state]]),
      ...(isBehind ? [`outdated: ${versionStep(artifact, upstream)}`] : []),
    ];
    lines.push(
      `${stateLetters[state]} ${printable(`${artifact.type}/${artifact.name}  ${words.join('; ')}`)}`,
    );
  }
  for (const path of untracked) {
    lines.push(`? ${printable(path)}  no artifact (name it: skillmeat import)`);
  }
  for (const finding of findings) lines.push(style.alarming(describeFinding(finding)));
  if (lines.length === 1) lines.push('Everything is as the lock has it.');
  return [...lines, ...(asked ? [] : describeAsking(artifacts, style))].join('\n');
}

function versionStep({ resolvedVersion, resolvedSha }: Artifact, to: UpstreamStatus): string {
  const from = resolvedVersion ?? resolvedSha?.slice(0, 7) ?? 'unknown';
  return `${from} → ${to.version ?? to.sha?.slice(0, 7) ?? 'unknown'}`;
}

/** From when what is said of upstream is; nothing where no artifact has one. */
function describeAsking(artifacts: readonly DescribedArtifact[], style: Style): readonly string[] {
  const linked = artifacts.filter(({ artifact }) => artifact.upstream !== undefined);
  if (linked.length === 0) return [];
  const times = linked.flatMap(({ upstream }) => upstream?.seenAt ?? []).toSorted();
  const [oldest] = times;
  const when =
    oldest === undefined || times.length < linked.length
      ? `Upstream was never asked about ${counted(linked.length - times.length, 'artifact')}`
      : `Upstream as of ${oldest.slice(0, 16)}Z`;
  return [style.faint(printable(`${when}; ask now: skillmeat status --outdated`))];
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
