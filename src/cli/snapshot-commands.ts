import { Argument, type Command, Option } from 'commander';
import type { Moment } from '../engine/index.js';
import { parseAge, parseCompression, parseCount, parseSize } from './amounts.js';
import { addGlobalOptions, collect, parseSnapshotOrNow, planOption } from './global-options.js';
import { addDiffOptions } from './history-commands.js';
import type { RunCommand } from './program.js';
import type { SnapshotPolicyFlags } from './txn/snapshot-policy.js';
import type { PruneFlags } from './txn/prune.js';
import type { DiffFlags } from './txn/diff.js';
import type { CreateFlags } from './txn/snapshot.js';
import type { MarkSnapshotFlags } from './txn/mark-snapshot.js';
import type { DeleteFlags, UndeleteFlags } from './txn/snapshot-trash.js';
import type { RestoreFlags } from './txn/restore.js';

/** Adds `snapshot` and `restore` to a command. */
export function addSnapshotCommands(parent: Command, runCommand: RunCommand): void {
  const snapshot = parent
    .command('snapshot')
    .description('keep the whole directory as it is now, and look at what was kept')
    .enablePositionalOptions();
  addCreate(snapshot, runCommand);
  addLooking(snapshot, runCommand);
  addDiff(snapshot, runCommand);
  addRestore(snapshot, runCommand);
  addDelete(snapshot, runCommand);
  addUndelete(snapshot, runCommand);
  addMarking(snapshot, runCommand);
  addPrune(snapshot, runCommand);
  addPolicy(snapshot, runCommand);
  for (const command of snapshot.commands) addGlobalOptions(command);
  addRestore(parent, runCommand);
  // Those of `txn` get them with their siblings.
  if (parent.parent === null) addGlobalOptions(snapshot);
}

function addCreate(snapshot: Command, runCommand: RunCommand): void {
  snapshot
    .command('create')
    .argument('[NAME]', 'what to call it; it has a number anyway')
    .description('take a snapshot; an unchanged directory costs no room')
    .option('-m, --message <text>', 'why')
    .option('--tag <tag>', 'a tag; may be repeated', collect)
    .option('--pin', 'keep it until it is deleted with --force')
    .option('--ignore <glob>', 'leave this out, besides .skillmeatignore; may be repeated', collect)
    .addOption(
      new Option('--max-size <size>', 'leave out larger files: 500k, 10M, 2G').argParser(parseSize),
    )
    .addOption(
      new Option(
        '--compression <level>',
        'how hard to compress what is stored anew: 0 to 11, or off (default: 3)',
      ).argParser(parseCompression),
    )
    .option('--no-adopt', 'do not record what other programs changed as a transaction')
    .option('-n, --dry-run', 'only look, and print what the snapshot would hold')
    .action(async (name: string | undefined, flags: CreateFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/snapshot.js')).createSnapshot(context, name, flags),
      ),
    );
}

function addLooking(snapshot: Command, runCommand: RunCommand): void {
  snapshot
    .command('list')
    .description('list snapshots, newest first')
    .option('--deleted', 'those that were deleted and can be brought back')
    .action(async (flags: { readonly deleted?: boolean }, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/snapshot.js')).listSnapshots(context, flags),
      ),
    );
  snapshot
    .command('show')
    .argument('<SNAPSHOT>', snapshotHelp)
    .description('print one snapshot')
    .option('--files', 'with every path that it holds')
    .action(async (reference: string, flags: { readonly files?: boolean }, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/snapshot.js')).showSnapshot(context, reference, flags),
      ),
    );
}

function addDiff(snapshot: Command, runCommand: RunCommand): void {
  const command = snapshot
    .command('diff')
    .addArgument(new Argument('<SNAPSHOT>', snapshotHelp).argParser(parseSnapshotOrNow))
    .addArgument(
      new Argument('[TO]', 'another snapshot, or "now" (default: now)').argParser(
        parseSnapshotOrNow,
      ),
    )
    .description('print what differs between a snapshot and now, or another one');
  addDiffOptions(command).action(
    async (
      from: Moment,
      to: DiffFlags['to'],
      flags: Omit<DiffFlags, 'from' | 'to'>,
      self: Command,
    ) =>
      runCommand(self, async (context) =>
        (await import('./txn/diff.js')).diff(context, { ...flags, from, to }),
      ),
  );
}

function addRestore(parent: Command, runCommand: RunCommand): void {
  const restore = parent
    .command('restore')
    .argument('<SNAPSHOT>', snapshotHelp)
    .argument('[PATH...]', 'only these: paths with everything below, and globs')
    .description('bring back a snapshot, as one transaction that touches only what differs')
    .option('--to <dir>', 'write to this new directory instead')
    .option('-m, --message <text>', 'why, for the log')
    .option('--force', 'also when more than half of the files would be removed')
    .option('-n, --dry-run', 'do everything but the commit, and print what would change')
    .action(async (reference: string, paths: string[], flags: RestoreFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/restore.js')).restore(context, { reference, paths, flags }),
      ),
    );
  if (parent.parent === null) addGlobalOptions(restore);
}

function addDelete(snapshot: Command, runCommand: RunCommand): void {
  snapshot
    .command('delete')
    .argument('<SNAPSHOT>', snapshotHelp)
    .description('delete a snapshot; for a week "snapshot undelete" brings it back')
    .option('--force', 'also when it is pinned')
    .option('--now', 'for good, also one that was deleted before')
    .option('-n, --dry-run', 'only look whether it can be deleted')
    .action(async (reference: string, flags: DeleteFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/snapshot-trash.js')).deleteSnapshot(context, reference, flags),
      ),
    );
}

function addUndelete(snapshot: Command, runCommand: RunCommand): void {
  snapshot
    .command('undelete')
    .argument('<SNAPSHOT>', 'number of a deleted snapshot, or its name, or: latest')
    .description('bring back a snapshot that was deleted')
    .option('--name <name>', 'what to call it from now on')
    .option('-n, --dry-run', 'only look whether it can be brought back')
    .action(async (reference: string, flags: UndeleteFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/snapshot-trash.js')).undeleteSnapshot(context, reference, flags),
      ),
    );
}

function addMarking(snapshot: Command, runCommand: RunCommand): void {
  for (const [name, pin, description] of [
    ['pin', true, 'keep a snapshot whatever is pruned, and until it is deleted with --force'],
    ['unpin', false, 'take a pin of a snapshot back'],
  ] as const) {
    addMark(snapshot, name, description).action(
      async (reference: string, flags: MarkSnapshotFlags, command: Command) =>
        runCommand(command, async (context) =>
          (await import('./txn/mark-snapshot.js')).markSnapshot(context, reference, {
            ...flags,
            pin,
          }),
        ),
    );
  }
  for (const [name, change, description] of [
    ['tag', 'addTags', 'give a snapshot tags; they keep it, too'],
    ['untag', 'removeTags', 'take tags of a snapshot back'],
  ] as const) {
    addMark(snapshot, name, description)
      .argument('<TAG...>', 'one word or more each')
      .action(
        async (
          reference: string,
          tags: readonly string[],
          flags: MarkSnapshotFlags,
          command: Command,
        ) =>
          runCommand(command, async (context) =>
            (await import('./txn/mark-snapshot.js')).markSnapshot(context, reference, {
              ...flags,
              [change]: tags,
            }),
          ),
      );
  }
}

function addMark(snapshot: Command, name: string, description: string): Command {
  return snapshot
    .command(name)
    .argument('<SNAPSHOT>', snapshotHelp)
    .description(description)
    .option('-n, --dry-run', 'only print how it would be marked');
}

function addPrune(snapshot: Command, runCommand: RunCommand): void {
  const command = snapshot
    .command('prune')
    .description('delete the snapshots that no rule keeps; pinned and tagged ones are kept')
    .option('--now', 'for good, instead of into the trash for a week')
    .option('-n, --dry-run', 'only print what is kept, what is not, and why')
    .addHelpText('after', '\nWithout a rule: as skillmeat snapshot policy says\n');
  addRules(command).action(async (flags: PruneFlags, self: Command) =>
    runCommand(self, async (context) =>
      (await import('./txn/prune.js')).pruneSnapshots(context, flags),
    ),
  );
}

function addPolicy(snapshot: Command, runCommand: RunCommand): void {
  const command = snapshot
    .command('policy')
    .description('print what snapshot prune keeps without a rule; with a rule, set it')
    .option('--reset', 'go back to the default, by which no snapshot goes by itself')
    .addOption(planOption)
    .addHelpText(
      'after',
      '\nThe default: --keep-last 10 --keep-within 30d --keep-weekly 8 --keep-monthly 12\n',
    );
  addRules(command).action(async (flags: SnapshotPolicyFlags, self: Command) =>
    runCommand(self, async (context) =>
      (await import('./txn/snapshot-policy.js')).snapshotPolicy(context, flags),
    ),
  );
}

function addRules(command: Command): Command {
  return command
    .addOption(new Option('--keep-last <n>', 'the newest ones').argParser(parseCount))
    .addOption(
      new Option('--keep-within <age>', 'those that are younger: 12h, 30d, 8w').argParser(parseAge),
    )
    .addOption(new Option('--keep-daily <n>', 'one of each day').argParser(parseCount))
    .addOption(new Option('--keep-weekly <n>', 'one of each week').argParser(parseCount))
    .addOption(new Option('--keep-monthly <n>', 'one of each month').argParser(parseCount))
    .addOption(
      new Option(
        '--max-size <size>',
        'drop the oldest until contents take no more: 500k, 10M, 2G',
      ).argParser(parseSize),
    );
}

const snapshotHelp = 'name or number of a snapshot, or: latest';
