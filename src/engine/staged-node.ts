import type { RelativePath } from './path.js';
import type { RootTree } from './root-tree.js';
import type { StagedContent } from './staged-content.js';

/** Something on disk, of the root or of the history, with an owner and attributes to keep. */
export interface AttributeSource {
  readonly tree: RootTree;
  readonly path: RelativePath;
}

/** What the transaction wants a path to be. Paths without a node stay as they are on disk. */
export type StagedNode = AbsentNode | FileNode | DirectoryNode | LinkNode;

export interface AbsentNode {
  readonly kind: 'absent';
}
interface FileNode {
  readonly kind: 'file';
  /** `undefined`: the content on disk stays, only the mode changes. */
  readonly content: StagedContent | undefined;
  readonly mode: number;
  /** The file whose owner and extended attributes this one keeps. */
  readonly attributesFrom: AttributeSource | undefined;
}
interface DirectoryNode {
  readonly kind: 'directory';
  readonly mode: number;
  /** Whether it is a new directory, in which nothing of what is on disk shows. */
  readonly isOpaque: boolean;
  readonly attributesFrom: AttributeSource | undefined;
}
interface LinkNode {
  readonly kind: 'symlink';
  readonly target: string;
  readonly attributesFrom: AttributeSource | undefined;
}

/** What a path is in the staged view, before any hashing. */
export type Seen =
  | { readonly kind: 'absent' }
  | { readonly kind: 'special' }
  | {
      readonly kind: 'file';
      readonly mode: number;
      readonly size: number;
      readonly content: StagedContent | undefined;
      readonly attributesFrom: AttributeSource | undefined;
    }
  | {
      readonly kind: 'directory';
      readonly mode: number;
      readonly attributesFrom: AttributeSource | undefined;
    }
  | {
      readonly kind: 'symlink';
      readonly target: string;
      readonly attributesFrom: AttributeSource | undefined;
    };

export const absentNode: AbsentNode = { kind: 'absent' };
