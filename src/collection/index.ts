export {
  addressOf,
  type Artifact,
  type ArtifactId,
  type ArtifactKey,
  artifactTypes,
  type ArtifactType,
  idOf,
  keyOf,
  parseArtifactName,
  parseArtifactType,
  pathFor,
} from './artifact.js';
export type { CollectionFiles } from './collection-files.js';
export {
  type AddedArtifact,
  type ChangeOptions,
  Collection,
  type CollectionChange,
  CollectionReader,
  type ImportedArtifacts,
  openCollection,
  type UpdateChange,
  type UpdatePreview,
  type PartialUndoOptions,
} from './collection.js';
export {
  activeCollection,
  configName,
  defaultCollectionName,
  parseCollectionName,
  withActiveCollection,
} from './config.js';
export type { ArtifactState, ArtifactStatus, CollectionStatus } from './collection-status.js';
export type { Draft, NewArtifact, Provenance } from './draft.js';
export {
  CollectionError,
  type CollectionErrorCode,
  type CollectionErrorDetails,
  isCollectionError,
} from './errors.js';
export type { FoundArtifact, FoundArtifacts, SkippedPath } from './find-artifacts.js';
export type { CollectionFinding, CollectionRule } from './findings.js';
export type { LockEntry, LockFile } from './lock-file.js';
export type { ArtifactMetadata } from './metadata.js';
export { type CollectionFacts, type Manifest, manifestName } from './manifest.js';
export type {
  ConflictPlace,
  FileConflict,
  LineRange,
  MergeConflict,
  MergeCounts,
  OnConflict,
} from './merge/merge-trees.js';
export type { UpdateChoice, UpdatedArtifact, UpdateStrategy } from './update/apply-update.js';
export { Fetcher, type FetcherOptions, openFetcher } from './update/fetcher.js';
export type { AvailableUpdate, UpdateLook } from './update/look-for-updates.js';
export { isOutdated, type SeenUpstream, upstreamName } from './update/seen-upstream.js';
export type { CollectionRepair, CollectionRepairAction } from './repair-collection.js';
export { resolveArtifact } from './resolve-artifact.js';
export { fetchSource, resolveVersion } from './sources/fetch-source.js';
export type { FetchedArtifact, FetchOptions } from './sources/fetched-artifact.js';
export type { Environment } from './sources/git-program.js';
export { type Appearance, type GuessedType, guessType } from './sources/guess-type.js';
export { parseSource, type Surroundings } from './sources/parse-source.js';
export type { Patience } from './sources/retry.js';
export {
  formatSource,
  type GitSource,
  type LocalSource,
  type Neutralised,
  type ResolvedVersion,
  type Source,
  type SourceProgress,
  upstreamOf,
} from './sources/source.js';
export { openWorkspace, type Workspace, type WorkspaceOptions } from './sources/workspace.js';
