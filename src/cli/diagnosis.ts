import type { StoreDiagnosis, StoreStatus } from '../engine/index.js';

/** `problem`: something to act on; `notice`: worth knowing; `ok`: as it should be. */
export type CheckLevel = 'ok' | 'notice' | 'problem';

/** One thing that `doctor` looked at. */
export interface Check {
  readonly name:
    | 'file-system'
    | 'native'
    | 'exchange'
    | 'extended-attributes'
    | 'transactions'
    | 'quarantine'
    | 'free-space'
    | 'lock';
  readonly level: CheckLevel;
  readonly message: string;
  readonly hint: string | null;
}

/** Less free space than this is worth a word: a replaced file needs room twice for a while. */
const freeBytesLow = 64 * 1_024 ** 2;

/** Judges what the engine says about a store. Pure. */
export function checkStore(
  diagnosis: StoreDiagnosis,
  status: StoreStatus,
  isLocked: boolean,
): readonly Check[] {
  return [
    checkFileSystem(diagnosis),
    ...checkCapabilities(diagnosis),
    checkTransactions(status),
    checkQuarantine(status),
    checkFreeSpace(diagnosis),
    isLocked
      ? notice(
          'lock',
          'another process is writing',
          'What it left of itself, if anything, shows when it is done.',
        )
      : ok('lock', 'free'),
  ];
}

function checkFileSystem({ fileSystem: { name, support } }: StoreDiagnosis): Check {
  switch (support) {
    case 'supported':
      return ok('file-system', `${name}: all promises hold`);
    case 'volatile':
      return notice(
        'file-system',
        `${name}: what is on it does not survive a power loss`,
        'Keep the store on a disk if that matters.',
      );
    default:
      return problem(
        'file-system',
        `${name}: locks and syncs are not known to hold here`,
        'Move the directory to a local file system (ext4, XFS, btrfs).',
      );
  }
}

function checkCapabilities({ capabilities }: StoreDiagnosis): readonly Check[] {
  const { native, nativeReason, exchange, extendedAttributes } = capabilities;
  const isNative = native !== 'off';
  return [
    isNative
      ? ok('native', `system calls of ${native}`)
      : notice(
          'native',
          `plain Node only: ${nativeReason ?? 'no reason given'}`,
          'Everything works, more slowly. See docs/cli.md, SKILLMEAT_NATIVE.',
        ),
    exchange === 'atomic'
      ? ok('exchange', 'a reader never misses a file that is replaced')
      : notice(
          'exchange',
          'a reader may miss a file for the instant in which it is replaced',
          'Nothing is lost by it; readers may try again.',
        ),
    extendedAttributes === 'kept'
      ? ok('extended-attributes', 'kept when a file is replaced')
      : notice(
          'extended-attributes',
          'not seen here: extended attributes and access control lists of replaced files are lost',
          'Do not rely on them below this root.',
        ),
  ];
}

function checkTransactions({ troubled, unsettled }: StoreStatus): Check {
  if (troubled.length === 0) {
    return ok(
      'transactions',
      unsettled === 0 ? 'all settled' : `${String(unsettled)} unsettled, none in trouble`,
    );
  }
  const list = troubled.map(
    ({ id, state, reason }) => `${String(id)} is ${state}: ${reason ?? ''}`,
  );
  return problem('transactions', list.join('; '), 'Run: skillmeat txn recover');
}

function checkQuarantine({ quarantined }: StoreStatus): Check {
  if (quarantined === 0) return ok('quarantine', 'empty');
  return notice(
    'quarantine',
    `${String(quarantined)} set aside`,
    'Look at .skillmeat/quarantine; remove what you do not need.',
  );
}

function checkFreeSpace({ freeBytes }: StoreDiagnosis): Check {
  const mebibytes = `${String(Math.floor(freeBytes / 1_024 ** 2))} MiB free`;
  if (freeBytes >= freeBytesLow) return ok('free-space', mebibytes);
  return notice('free-space', mebibytes, 'Free some space: replacing a file needs room for both.');
}

function ok(name: Check['name'], message: string): Check {
  return { name, level: 'ok', message, hint: null };
}

function notice(name: Check['name'], message: string, hint: string): Check {
  return { name, level: 'notice', message, hint };
}

function problem(name: Check['name'], message: string, hint: string): Check {
  return { name, level: 'problem', message, hint };
}
