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
  const pathsOf = ({ from, to }: AttributeCopy): readonly string[] => [ours(from), ours(to)];
  const options = ['--attributes-only', '--no-dereference', '--preserve=mode,xattr', '--'];
  if (copies.length > 1) {
    const input = copies.flatMap(pathsOf).map((path) => `${path}\0`);
    const areKept = await succeeds('xargs', ['-0', '-n', '2', 'cp', ...options], input.join(''));
    if (areKept) return copies.map(({ pair }) => ({ pair, lost: undefined }));
  }
  const kept: KeptAttributes[] = [];
  for (const copy of copies) {
    const isKept = await succeeds('cp', [...options, ...pathsOf(copy)]);
    kept.push({ pair: copy.pair, lost: isKept ? undefined : '(extended attributes)' });
  }
  return kept;
}

/** cp has no way to do a directory without what is in it; tar has. */
export async function copyDirectoryAttributesBySpawn(
  copies: readonly AttributeCopy[],
): Promise<readonly KeptAttributes[]> {
  const options = "--xattrs --xattrs-include='*' --acls";
  const pack = `tar -C "$1" -c --no-recursion ${options} .`;
  const unpack = `tar -C "$2" -x --no-same-owner ${options}`;
  const kept: KeptAttributes[] = [];
  for (const { pair, from, to } of copies) {
    const isKept = await succeeds('sh', ['-c', `${pack} | ${unpack}`, 'sh', ours(from), ours(to)]);
    kept.push({ pair, lost: isKept ? undefined : '(extended attributes)' });
  }
  return kept;
}

/** A child's own /proc/self would show its descriptors, not ours. */
function ours(path: string): string {
  return path.replace('/proc/self/', `/proc/${String(process.pid)}/`);
}

function succeeds(program: string, args: readonly string[], input = ''): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'] });
    child.on('error', reject);
    child.on('close', (code) => {
      resolve(code === 0);
    });
    child.stdin.on('error', () => {
      // The exit code says it: the program stopped before it had read everything.
    });
    child.stdin.end(input);
  });
}
