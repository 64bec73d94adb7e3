export {
  CollectionError,
  type CollectionErrorCode,
  type CollectionErrorDetails,
  isCollectionError,
} from './errors.js';
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
