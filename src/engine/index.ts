export type { Annotations, Label, LabelSubject } from './annotations.js';
export type { DiffChange, Moment } from './diff.js';
export type { DriftedPath } from './drift.js';
export {
  EngineError,
  type EngineErrorCode,
  type EngineErrorDetails,
  fromSystemError,
  isEngineError,
  type PathConflict,
  systemCode,
} from './errors.js';
export type { EngineEvents } from './events.js';
export { type FileLock, tryFileLock } from './file-lock.js';
export type { Capabilities } from './file-system.js';
export { ContentHasher, type ContentHash, hashContent } from './hash.js';
export type {
  AbsentImage,
  DirectoryImage,
  FileImage,
  FoundImage,
  Image,
  LinkImage,
  SpecialImage,
} from './image.js';
export { foldSegment, parsePath, type RelativePath } from './path.js';
export type {
  OpenPlan,
  PlanDocument,
  PlanFormat,
  PlanOperationDocument,
  PlanSource,
} from './plan-document.js';
export type {
  Change,
  Receipt,
  RecoveryReport,
  TransactionRecord,
  TransactionState,
  TransactionSummary,
} from './receipt.js';
export type { SupersededPath } from './recovery-paths.js';
export type { CompressionLevel } from './compression.js';
export type { Collected } from './collect-objects.js';
export type { LeftOutReason } from './listing.js';
export type { NotRestored } from './restore-plan.js';
export type { LeftOut } from './scan.js';
export type { Snapshot, SnapshotPath } from './snapshot-record.js';
export type {
  CreatedSnapshot,
  CreateSnapshotOptions,
  DeletedSnapshot,
  MarkSnapshotOptions,
  Restored,
  RestoreOptions,
  Snapshots,
} from './snapshots.js';
export { defaultHistoryPolicy, type HistoryPolicy } from './history-policy.js';
export type { LeftUnpacked, PackedHistory } from './pack-history.js';
export type { PrunedHistory, PrunedTransaction } from './prune-history.js';
export type { PrunedByThemselves, PrunedSnapshots, SnapshotPolicy } from './snapshot-pruning.js';
export type { PrunedSnapshot, PruningPlan } from './prune-snapshots.js';
export type { SnapshotUsage, StoreUsage, UsageRange } from './usage.js';
export { defaultPolicy, type RetentionPolicy } from './retention.js';
export type { Rule, Violation } from './rules.js';
export type { Content } from './staged-content.js';
export { openStore, rebuildStore } from './open-store.js';
export { type HashOf, readPlan, Store } from './store.js';
export type {
  AdoptOptions,
  ApplyOptions,
  DiffRequest,
  HistoricFile,
  HistoryEntry,
  LastChange,
  LogOptions,
  MarkOptions,
  OpenStoreOptions,
  PathsRequest,
  RecoverOptions,
  RollbackOptions,
  RollbackReceipt,
  StoreDiagnosis,
  StoreHistoryPolicy,
  StoreStatus,
  TransactOptions,
  UndoOptions,
  UndoReceipt,
} from './store-options.js';
export type { Rebuilt } from './repair/rebuild.js';
export { parseTag } from './tags.js';
export { mergeParts, type MergedText, type MergePart } from './text-merge.js';
export { type DiffContent, type DiffText, unifiedDiff } from './unified-diff.js';
export type { Repair, RepairAction, RepairOptions } from './repair/repairing.js';
export {
  type Finding,
  type FindingKind,
  type FindingLevel,
  findingOf,
  type PromiseNumber,
  type Verified,
} from './verify/finding.js';
export type { VerifyOptions } from './verify/verify.js';
export type { TransactionKind } from './transaction-kind.js';
export type { KnownParts, PartedFile, PartsUndone, UndonePath, UndoParts } from './undo.js';
export type { ModeOption, PathEntry, PathStat, ReadableView, Transaction } from './transaction.js';
