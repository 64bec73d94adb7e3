import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import type { AttributePair, KeptAttributes } from './file-system.js';
import type { Native } from './native.js';

const { ENODATA, ENOTSUP, EOPNOTSUPP } = constants.errno;

/** A pair with the absolute paths of its places. */
export interface AttributeCopy {
  readonly pair: AttributePair;
  readonly from: string;
  readonly to: string;
}

/** Returns `undefined` when there was nothing to copy. */
export function copyAttributes(
  native: Native,
  { from, to, pair }: AttributeCopy,
): KeptAttributes | undefined {
  const names = native.listAttributes(from);
  if (typeof names === 'number') {
    // A file system without extended attributes has none to keep.
    const hasNone = names === ENOTSUP || names === EOPNOTSUPP;
    return hasNone ? undefined : { pair, lost: '(unreadable)' };
  }
  if (names.length === 0) return undefined;
  const lost = names.find((name) => {
    const failure = native.copyAttribute(from, to, name);
    return failure !== 0 && failure !== ENODATA;
  });
  return { pair, lost };
}

/** GNU cp copies extended attributes and access control lists; Node has no call for either. */
export function hasAttributeCopier(): boolean {
  if (process.platform !== 'linux') return false;
  if (attributeCopier === undefined) {
    const answer = spawnSync('cp', ['--version'], { encoding: 'utf8' });
    attributeCopier = answer.status === 0 && answer.stdout.includes('coreutils');
  }
  return attributeCopier;
}

let attributeCopier: boolean | undefined;

export async function copyAttributesBySpawn(
  copies: readonly AttributeCopy[],
): Promise<readonly KeptAttributes[]> {
  // The child's own /proc/self would show its descriptors, not ours.
  const ours = (path: string): string =>
    path.replace('/proc/self/', `/proc/${String(process.pid)}/`);
  const inputOf = ({ from, to }: AttributeCopy): string => `${ours(from)}\0${ours(to)}\0`;
  if (copies.length === 0) return [];
  if (await succeeds(copies.map(inputOf).join(''))) {
    return copies.map(({ pair }) => ({ pair, lost: undefined }));
  }
  const kept: KeptAttributes[] = [];
  for (const copy of copies) {
    const isKept = await succeeds(inputOf(copy));
    kept.push({ pair: copy.pair, lost: isKept ? undefined : '(extended attributes)' });
  }
  return kept;
}

function succeeds(input: string): Promise<boolean> {
  const copy = ['cp', '--attributes-only', '--no-dereference', '--preserve=mode,xattr', '--'];
  return new Promise((resolve, reject) => {
    const child = spawn('xargs', ['-0', '-n', '2', ...copy], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.on('error', reject);
    child.on('close', (code) => {
      resolve(code === 0);
    });
    child.stdin.on('error', () => {
      // The exit code says it: xargs stopped at a pair that failed.
    });
    child.stdin.end(input);
  });
}
