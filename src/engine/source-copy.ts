import { EngineError } from './errors.js';
import type { Directory, Place, Stat } from './file-system.js';
import type { Looking } from './inspect.js';
import { childOf, parsePath, type RelativePath } from './path.js';
import { requireInnerTarget, requireTextTarget } from './path-refusals.js';
import { type StagedContents, sourceUnreadable } from './staged-content.js';
import type { StagedNode } from './staged-node.js';

/** Where something that is copied in comes from and goes to. */
interface SourcePath {
  readonly path: RelativePath;
  /** The source as messages call it. */
  readonly name: string;
}

interface SourceCopying {
  readonly looking: Looking;
  readonly contents: StagedContents;
  /** The engine's own directory, which is never copied. */
  readonly engineDirectory: Directory;
  /** Called for each path, a directory before its content. */
  readonly add: (path: RelativePath, node: StagedNode) => void;
}

/** Stages what is at `source`, with everything below it. @throws {EngineError} `SOURCE_UNREADABLE`, … */
export async function copySource(
  source: Place,
  at: SourcePath,
  copying: SourceCopying,
): Promise<void> {
  const { looking, contents, add } = copying;
  const { files, pace } = looking;
  if (pace.isDue()) await pace.turn();
  const stat = files.stat(source);
  switch (stat?.kind) {
    case undefined:
      throw new EngineError('SOURCE_UNREADABLE', `the source ${at.name} does not exist`, {
        path: at.name,
        hint: 'Check the path; relative ones start at the plan file.',
      });
    case 'special':
      throw new EngineError('PATH_SPECIAL', `the source ${at.name} is a FIFO, socket or device`, {
        path: at.name,
        hint: 'Leave it out of what is copied.',
      });
    case 'symlink': {
      const target = files.readLink(source);
      requireTextTarget(at.name, target);
      requireInnerTarget(at.path, target);
      add(at.path, { kind: 'symlink', target, attributesFrom: undefined });
      return;
    }
    case 'file': {
      // Never setuid, setgid or sticky from a source; the owner can always read.
      const mode = (stat.mode & 0o777) | 0o400;
      const content = await contents.addFile(source, { expected: stat, mode, path: at.name });
      add(at.path, { kind: 'file', content, mode, attributesFrom: undefined });
      return;
    }
    case 'directory':
      await copyDirectory(source, stat, at, copying);
  }
}

async function copyDirectory(
  source: Place,
  stat: Stat,
  at: SourcePath,
  copying: SourceCopying,
): Promise<void> {
  const { files } = copying.looking;
  const opened = openSource(() => files.openDirectory(source), at.name);
  if (typeof opened === 'string') {
    throw new EngineError('SOURCE_UNREADABLE', `the source ${at.name} is ${opened}`, {
      path: at.name,
      hint: 'Copy from one mounted file system at a time.',
    });
  }
  try {
    const { device, inode } = copying.engineDirectory;
    if (opened.inode === inode && opened.device === device) throw engineSource(at.name);
    // The owner must be able to write in it, or it could never be moved into its place.
    const mode = (stat.mode & 0o777) | 0o700;
    copying.add(at.path, { kind: 'directory', mode, isOpaque: true, attributesFrom: undefined });
    const names = openSource(() => files.list(opened), at.name).map((entry) => entry.name);
    for (const name of names.toSorted()) {
      const child = parsePath(childOf(at.path, name));
      const place: Place = { directory: opened, name };
      await copySource(place, { path: child, name: `${at.name}/${name}` }, copying);
    }
  } finally {
    files.closeDirectory(opened);
  }
}

export function openSource<T>(open: () => T, name: string): T {
  try {
    return open();
  } catch (error) {
    throw sourceUnreadable(error, name);
  }
}

export function engineSource(name: string): EngineError {
  return new EngineError(
    'PATH_IN_ENGINE_DIRECTORY',
    `the source ${name} is in, or is, the engine's own directory`,
    { path: name, hint: 'Copy from somewhere else.' },
  );
}
