import type { FileSystem, Stat } from '../../src/engine/file-system.js';
import { watchedFileSystem } from './faults.js';
import type { Mode } from './store.js';

/**
 * The real file system, in whose eyes everything happens at one instant, which is now.
 *
 * @param keepsModified whether only its change times are so.
 */
export function frozenTimes(mode: Mode, now: number, keepsModified = false): FileSystem {
  const instantNs = BigInt(now) * 1_000_000n + 1n;
  const frozen = (stat: Stat): Stat => ({
    ...stat,
    modifiedNs: keepsModified ? stat.modifiedNs : instantNs,
    changedNs: instantNs,
  });
  return watchedFileSystem(mode, ({ method, values }, real) => {
    if (method === 'stat') {
      return () => {
        const stat = real.stat(...(values as Parameters<FileSystem['stat']>));
        return stat === undefined ? undefined : frozen(stat);
      };
    }
    if (method === 'statDirectory') {
      return () =>
        frozen(real.statDirectory(...(values as Parameters<FileSystem['statDirectory']>)));
    }
    if (method !== 'statFile') return undefined;
    return () => frozen(real.statFile(...(values as Parameters<FileSystem['statFile']>)));
  });
}
