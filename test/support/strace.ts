import { spawnSync } from 'node:child_process';

/** Why strace cannot be used here; `undefined`: it can. */
export function whyNoStrace(): string | undefined {
  const { status, error, stderr } = spawnSync(
    'strace',
    ['-f', '-qq', '-e', 'trace=none', process.execPath, '-e', '0'],
    { encoding: 'utf8' },
  );
  if (error !== undefined) return 'it is not installed';
  return status === 0 ? undefined : `it cannot trace here: ${stderr.trim().slice(0, 200)}`;
}
