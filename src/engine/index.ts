export {
  EngineError,
  type EngineErrorCode,
  type EngineErrorDetails,
  isEngineError,
} from './errors.js';
export type { EngineEvents } from './events.js';
export type { Capabilities } from './file-system.js';
export type { ContentHash } from './hash.js';
export type { AbsentImage, DirectoryImage, FileImage, Image, LinkImage } from './image.js';
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
export type { SupersededPath } from './recover.js';
export type { CompressionLevel } from './compression.js';
export type { Collected } from './collect-objects.js';
export type { LeftOutReason } from './listing.js';
export type { NotRestored } from './restore-plan.js';
export type { LeftOut } from './scan.js';
export type { CreatedSnapshot, Snapshot, SnapshotPath } from './snapshot-record.js';
export type {
  CreateSnapshotOptions,
  DeletedSnapshot,
  Restored,
  RestoreOptions,
  Snapshots,
} from './snapshots.js';
export type { Rule, Violation } from './rules.js';
export type { Content } from './staged-content.js';
export {
  type ApplyOptions,
  type LogOptions,
  openStore,
  readPlan,
  type OpenStoreOptions,
  type RecoverOptions,
  Store,
  type StoreDiagnosis,
  type StoreStatus,
  type TransactOptions,
} from './store.js';
export type { ModeOption, PathEntry, PathStat, ReadableView, Transaction } from './transaction.js';
