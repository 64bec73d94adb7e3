/** Every wait, loop and size that fetching bounds, with its unit last. */

/** Most files and directories of one artifact. */
export const artifactEntriesMax = 100_000;
/** Most bytes of one artifact. */
export const artifactBytesMax = 1_073_741_824;
/** Deepest path in an artifact, in names. */
export const artifactDepthMax = 64;
/** Links that are followed one after the other. */
export const linkHopsMax = 16;
/** Problems of an artifact that are listed; a hostile one could have a hundred thousand. */
export const problemsMax = 100;

/** Most bytes of one tree, commit or tag: they are read whole. */
export const gitObjectBytesMax = 16_777_216;
/** Most bytes that one git program may answer with. */
export const gitAnswerBytesMax = 67_108_864;
/** Most bytes that one fetch may receive. */
export const fetchBytesMax = 2_147_483_648;
/** Characters of what git says that an error repeats. */
export const gitMessageLengthMax = 2_000;
/** How long git may say nothing before it counts as stalled, in milliseconds. */
export const gitStallMs = 120_000;
/** How long a git program that was asked to stop may take, in milliseconds. */
export const gitStopMs = 2_000;

/** Tries of a fetch that fails for a passing reason. */
export const fetchTriesMax = 4;
/** Pause before the second try, in milliseconds; doubled each time. */
export const fetchPauseMs = 500;

/** Repositories that the cache keeps. */
export const cachedRepositoriesMax = 64;
/** Bytes that the cache keeps, of all repositories together. */
export const cachedBytesMax = 2_147_483_648;
/** Packs of one repository: more make every look-up slow. */
export const cachedPacksMax = 64;

/** Tries to make a workspace: another process may sweep one before its owner has locked it. */
export const workspaceTriesMax = 20;
