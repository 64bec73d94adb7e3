import { EngineError, systemCode } from './errors.js';
import type { FileSystem, OpenFile, Place, Stat } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent } from './hash.js';
import { chunkBytes, cloneBytesMin, scanTriesMax, smallContentBytesMax } from './limits.js';
import type { ObjectStore } from './object-store.js';
import { quote, type RelativePath } from './path.js';
import type { CapturedFile } from './scan.js';

/**
 * Reads a file that nobody writes to while it is read, and stores its content when there is a
 * store for it. Returns `undefined` when there is no file any more.
 *
 * @throws {EngineError} `SOURCE_CHANGED` when somebody keeps writing.
 */
export async function captureFile(
  files: FileSystem,
  { place, path }: { readonly place: Place; readonly path: RelativePath },
  objects: ObjectStore | undefined,
): Promise<CapturedFile | undefined> {
  for (let tries = 0; tries < scanTriesMax; tries += 1) {
    const file = openIfThere(files, place);
    if (file === undefined) return undefined;
    try {
      const stat = files.statFile(file);
      if (stat.kind !== 'file') return undefined;
      const isStill = (): boolean => isSameFile(files.statFile(file), stat);
      const content =
        stat.size <= Math.min(cloneBytesMin, smallContentBytesMax)
          ? await captureSmall(files, { file, size: stat.size, isStill }, objects)
          : await captureLarge(files, { file, isStill }, objects);
      if (content !== undefined) return { ...content, stat };
    } finally {
      files.closeFile(file);
    }
  }
  // guard: capture-keeps-changing
  throw new EngineError(
    'SOURCE_CHANGED',
    `${quote(path)} was written to ${String(scanTriesMax)} times while it was read`,
    { path, hint: 'Try again when nothing else writes there, or ignore the file.' },
  );
}

interface Content {
  readonly sha256: ContentHash;
  readonly size: number;
}

async function captureSmall(
  files: FileSystem,
  {
    file,
    size,
    isStill,
  }: { readonly file: OpenFile; readonly size: number; readonly isStill: () => boolean },
  objects: ObjectStore | undefined,
): Promise<Content | undefined> {
  const buffer = Buffer.allocUnsafe(size + 1);
  const bytes = buffer.subarray(0, files.readSync(file, buffer));
  // guard: capture-still [!isStill() becomes false]
  if (bytes.length !== size || !isStill()) return undefined;
  const sha256 = hashContent(bytes);
  await objects?.put(bytes, sha256);
  return { sha256, size };
}

async function captureLarge(
  files: FileSystem,
  { file, isStill }: { readonly file: OpenFile; readonly isStill: () => boolean },
  objects: ObjectStore | undefined,
): Promise<Content | undefined> {
  if (objects !== undefined) return objects.putFile(file, isStill);
  const hasher = new ContentHasher();
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let size = 0; ; ) {
    const count = await files.read(file, buffer);
    // guard: capture-still-large [isStill() ? becomes true ?]
    if (count === 0) return isStill() ? { sha256: hasher.digest(), size } : undefined;
    hasher.update(buffer.subarray(0, count));
    size += count;
  }
}

function openIfThere(files: FileSystem, place: Place): OpenFile | undefined {
  try {
    return files.openForReading(place);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return undefined;
    throw error;
  }
}

function isSameFile(a: Stat, b: Stat): boolean {
  return a.size === b.size && a.modifiedNs === b.modifiedNs && a.changedNs === b.changedNs;
}
