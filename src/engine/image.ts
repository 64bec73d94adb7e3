import type { ContentHash } from './hash.js';

/** What a path is, or shall be. A transaction is, per path, a before-image and an after-image. */
export type Image = AbsentImage | FileImage | DirectoryImage | LinkImage;

export interface AbsentImage {
  readonly kind: 'absent';
}
export interface FileImage {
  readonly kind: 'file';
  readonly sha256: ContentHash;
  /** Bytes. */
  readonly size: number;
  /** Permission bits, `0o0000`–`0o7777`. */
  readonly mode: number;
}
export interface DirectoryImage {
  readonly kind: 'directory';
  /** Permission bits, `0o0000`–`0o7777`. */
  readonly mode: number;
}
export interface LinkImage {
  readonly kind: 'symlink';
  /** The link's text, as stored. */
  readonly target: string;
}

/** Something that the engine neither reads nor writes: FIFO, device, socket. */
export interface SpecialImage {
  readonly kind: 'special';
}

/** What recovery may find at a path. */
export type FoundImage = Image | SpecialImage;

export const absent: AbsentImage = { kind: 'absent' };
export const special: SpecialImage = { kind: 'special' };

/** Tells whether two images are the same state of a path. */
export function isSameImage(a: FoundImage, b: FoundImage): boolean {
  switch (a.kind) {
    case 'absent':
      return b.kind === 'absent';
    case 'special':
      return false;
    case 'directory':
      return b.kind === 'directory' && a.mode === b.mode;
    case 'symlink':
      return b.kind === 'symlink' && a.target === b.target;
    case 'file':
      return b.kind === 'file' && a.mode === b.mode && isSameContent(a, b);
  }
}

/** Tells whether two images differ in nothing but the permission bits. */
export function isSameContent(a: FoundImage, b: FoundImage): boolean {
  if (a.kind === 'file' && b.kind === 'file') return a.sha256 === b.sha256 && a.size === b.size;
  if (a.kind === 'directory' && b.kind === 'directory') return true;
  return isSameImage(a, b);
}

/** Returns `image` in a few words for messages. */
export function describeImage(image: FoundImage): string {
  switch (image.kind) {
    case 'absent':
      return 'absent';
    case 'special':
      return 'a special file';
    case 'directory':
      return `a directory (mode ${formatMode(image.mode)})`;
    case 'symlink':
      return `a link to ${JSON.stringify(image.target)}`;
    case 'file':
      return `a file (sha256:${image.sha256}, ${String(image.size)} bytes, mode ${formatMode(image.mode)})`;
  }
}

/** Returns permission bits as four octal digits: `0644`. */
export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
