/** Every wait, loop and size that the engine bounds, with its unit last. */

/** How long a writer waits for another one before it fails with `STORE_LOCKED`. */
export const lockWaitMsDefault = 10_000;
/** Longest pause between two tries to get the lock from another process. */
export const lockPollMsMax = 8;

/** Longest root-relative path, in UTF-8 bytes (Linux `PATH_MAX` less room for a root). */
export const pathBytesMax = 3_072;
/** Longest name of one path segment, in UTF-8 bytes (`NAME_MAX`). */
export const segmentBytesMax = 255;
/** Deepest root-relative path, in segments. */
export const pathSegmentsMax = 128;
/** Longest target of a symbolic link, in UTF-8 bytes. */
export const linkTargetBytesMax = 4_095;
/** Longest message of a transaction, in UTF-16 code units. */
export const messageLengthMax = 65_536;
/** Most paths that one transaction may change. */
export const changesMax = 2_000_000;

/** Contents up to this size are read and written in one synchronous call. */
export const smallContentBytesMax = 262_144;
/** Size of one piece of a larger content. */
export const chunkBytes = 1_048_576;
/** How long the engine works before it lets the event loop turn. */
export const sliceMsMax = 12;
/** Directory descriptors that one operation keeps open. */
export const openDirectoriesMax = 64;

/** Transactions of one session of the lock; they may share one flush. */
export const groupTransactionsMax = 32;
/** Entries, and bytes, of a source that is copied while other transactions wait for the flush. */
export const groupSourceEntriesMax = 64;
/** Turns of the event loop that a callback may do nothing while others wait for it. */
export const idleTurnsMax = 2;

/** A checkpoint is due when this many transactions wait for it, … */
export const unsettledTransactionsMax = 128;
/** … or this many changes. */
export const unsettledChangesMax = 4_096;
/** … or when what they displaced is so many bytes, … */
export const unsettledBytesMax = 1_048_576;
/** How large a checkpoint leaves SQLite's log. */
export const logBytesMax = 524_288;
/** … but not more often than once in so many transactions. */
export const bytesCheckpointTransactionsMin = 4;

/** Settled transactions whose before-images are kept. */
export const historyTransactionsMax = 1_000;
/** Bytes of before-images that are kept. */
export const historyBytesMax = 2_147_483_648;

/** Transactions whose records the log keeps at least. */
export const historyRecordsMax = 10_000;

/** Rows of the journal that are read at a time. */
export const journalPageRows = 2_048;
/** Places of one content in history that are tried. */
export const keptPlacesMax = 8;
/** Files that an undo or a restore removes without being asked whether it is meant. */
export const removedFilesFree = 20;
/** Longest text that is merged or compared line by line, in bytes. */
export const textBytesMax = 4_194_304;
/** Most lines that differ between two texts that are compared; the time grows with its square. */
export const differingLinesMax = 2_000;

/** How often recovery looks again because another program keeps writing. */
export const recoveryRoundsMax = 20;

/** Tries of a rename that failed for a passing reason (a virus scanner, an indexer). */
export const transientTriesMax = 6;
/** Pause before the second try; doubled each time. */
export const transientPauseMs = 5;

/** Tries to read a file that somebody keeps writing to. */
export const scanTriesMax = 3;
/** Largest directory listing that is read back, before compression. */
export const listingBytesMax = 268_435_456;
/** Contents from here on are cloned into the store where the file system can. */
export const cloneBytesMin = 131_072;
/** How often a snapshot begins again because objects were collected meanwhile. */
export const snapshotTriesMax = 5;
/** Longest name of a snapshot, in characters; longest tag. */
export const snapshotNameLengthMax = 100;
/** Most tags of one snapshot. */
export const snapshotTagsMax = 64;
/** How long a deleted snapshot can be brought back, in milliseconds: a week. */
export const deletedSnapshotKeptMs = 604_800_000;
/** How long nothing names an object before it is removed, in milliseconds: a day. */
export const unnamedObjectAgeMs = 86_400_000;

/** What must be free where SQLite makes the index of its log; measured: 64 KiB on ext4, 256 on btrfs. */
export const logIndexRoomBytes = 524_288;

/** Contents are compressed together up to this size: reading one of them unpacks no more. */
export const packChunkBytes = 4_194_304;
/** Largest content that is packed. A chunk that holds it alone may have this size, too. */
export const packContentBytesMax = 16_777_216;
/** Bytes of contents that one pack holds, before compression. */
export const packBytesMax = 16_777_216;
/** What was displaced is packed by itself when it is so many bytes. */
export const packFromBytesDefault = 1_048_576;
/** The newest transactions, which are not packed by themselves. */
export const unpackedTransactionsMin = 4;
/** Bytes of contents that are packed at a time after a transaction, so that nobody waits for long; … */
export const packedAtOnceBytesMax = 1_572_864;
/** … and slots and files that are looked at for it. */
export const packedAtOnceLooksMax = 512;
/** Files of a slot that is packed by itself. */
export const packedAtOnceSlotFilesMax = 1_024;
/** Contents up to this size are packed whatever that saves; so much of larger ones is compressed to see. */
export const packSampleBytes = 65_536;
/** Chunks of packs that one reader remembers. */
export const packChunksRemembered = 4;
