import { EngineError } from './errors.js';
import { formatMode } from './image.js';
import { linkTargetBytesMax } from './limits.js';
import { quote, type RelativePath } from './path.js';
import { obstacleError } from './root-tree.js';
import type { Seen } from './staged-node.js';

const setIdBits = 0o6000;

export function refuseWriteOver(path: RelativePath, seen: Seen, mode: number | undefined): void {
  switch (seen.kind) {
    case 'absent':
      return;
    case 'directory':
      throw new EngineError('PATH_IS_DIRECTORY', `${quote(path)} is a directory`, {
        path,
        hint: 'Remove the directory first, or write a file in it.',
      });
    case 'symlink':
      throw linkError(path);
    case 'special':
      throw specialError(path);
    case 'file':
      if (mode !== undefined || (seen.mode & setIdBits) === 0) return;
      throw new EngineError(
        'METADATA_NOT_KEPT',
        `${quote(path)} runs as its owner (mode ${formatMode(seen.mode)}), and new content does not inherit that`,
        { path, hint: 'Give the mode that the new content shall have.' },
      );
  }
}

/** The engine itself must be able to read what it wrote, and to move a directory that it made. */
export function requireUsableMode(path: RelativePath, mode: number, needed: number): void {
  if (mode <= 0o777 && (mode & needed) === needed) return;
  throw new EngineError(
    'PLAN_INVALID',
    `${quote(path)}: mode ${formatMode(mode)} is not usable; permission bits are needed that include ${formatMode(needed)}`,
    { path, hint: 'Set stricter modes by hand, after the transaction.' },
  );
}

/** A link of ours leads to a place inside the root, by a relative path. */
export function requireInnerTarget(path: RelativePath, target: string): void {
  const hint = 'Give a relative target that stays inside the root.';
  const isText = target.isWellFormed() && !target.includes('\0');
  if (target === '' || !isText || Buffer.byteLength(target) > linkTargetBytesMax) {
    throw new EngineError('PATH_INVALID', `${quote(path)}: the link's target is not usable`, {
      path,
      hint,
    });
  }
  let depth = path.split('/').length - 1;
  const leaves = target.split('/').some((segment) => {
    if (segment === '..') depth -= 1;
    else if (segment !== '' && segment !== '.') depth += 1;
    return depth < 0;
  });
  if (!leaves && !target.startsWith('/') && !/^[a-z]:|\\/i.test(target)) return;
  throw new EngineError(
    'PATH_ESCAPES_ROOT',
    `${quote(path)}: a link to ${quote(target)} would lead out of the root`,
    { path, hint },
  );
}

export function linkError(path: RelativePath): EngineError {
  return obstacleError(path, { obstacle: 'symlink', at: path });
}

export function specialError(path: RelativePath): EngineError {
  return new EngineError(
    'PATH_SPECIAL',
    `${quote(path)} is a FIFO, socket or device, which is never read or replaced`,
    { path, hint: 'Remove it by hand, or choose another path.' },
  );
}

export function notFoundError(path: RelativePath): EngineError {
  return new EngineError('PATH_NOT_FOUND', `${quote(path)} does not exist`, {
    path,
    hint: 'Check the path; "ifPresent" makes a remove of nothing a success.',
  });
}

export function existsError(path: RelativePath, hint: string): EngineError {
  return new EngineError('PATH_EXISTS', `${quote(path)} exists`, { path, hint });
}

export function belowError(path: RelativePath, ancestor: RelativePath, kind: string): EngineError {
  return new EngineError(
    'PLAN_CONTRADICTS',
    `${quote(path)} lies below ${quote(ancestor)}, which this transaction made a ${kind}`,
    { path, hint: 'Remove it earlier in the transaction, or choose another path.' },
  );
}

/** Node shows each byte of a link that is not UTF-8 as U+FFFD: a copy would lead elsewhere. */
export function requireTextTarget(path: string, target: string): void {
  if (!target.includes('\ufffd')) return;
  throw new EngineError('PATH_INVALID', `${quote(path)} is a link whose target is not UTF-8`, {
    path,
    hint: 'Make the link anew, or leave it out.',
  });
}
