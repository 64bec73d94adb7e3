import { Argument, type Command, Option } from 'commander';
import { UsageError } from './failure.js';
import { collect, parseMoment, parseMomentOrArtifact, parsePositive } from './global-options.js';
import type { RunCommand } from './program.js';
import type { AdoptFlags } from './txn/adopt.js';
import type { CatFlags } from './txn/cat.js';
import type { DiffFlags } from './txn/diff.js';
import type { LogFlags } from './txn/log.js';
import type { UndoFlags } from './txn/undo.js';

/** Adds one command to `skillmeat` or to `skillmeat txn`, and returns it. */
export type AddCommand = (parent: Command, runCommand: RunCommand) => Command;

/** Commands that are there with and without `txn` before them. */
export const topLevelCommands: readonly AddCommand[] = [addUndo, addRedo, addDiff, addLog];

/** Commands about history that are below `txn` only. */
export const historyCommands: readonly AddCommand[] = [addCat, addBlame, addAdopt];

function addUndo(parent: Command, runCommand: RunCommand): Command {
  const command = parent
    .command('undo')
    .addArgument(
      new Argument(
        '[ID]',
        'number of a transaction (default: the newest that is not undone)',
      ).argParser(parsePositive),
    )
    .description('undo a transaction, by a transaction of its own');
  return addUndoOptions(command).action(
    async (id: number | undefined, flags: UndoFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/undo.js')).undo(context, id, flags)),
  );
}

function addRedo(parent: Command, runCommand: RunCommand): Command {
  const command = parent
    .command('redo')
    .addArgument(
      new Argument(
        '[ID]',
        'number of an undo, or of what was undone (default: the newest undo)',
      ).argParser(parsePositive),
    )
    .description('undo an undo');
  return addUndoOptions(command).action(
    async (id: number | undefined, flags: UndoFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/undo.js')).redo(context, id, flags)),
  );
}

function addUndoOptions(command: Command): Command {
  return addPathOption(command)
    .addOption(
      new Option(
        '--only <artifact>',
        'only what transaction ID did to this artifact, or path; may be given again',
      ).argParser(collect),
    )
    .option('-m, --message <text>', 'why, for the log')
    .option('-n, --dry-run', 'do everything but the commit, and print what would change')
    .option('--merge', 'merge texts that were changed since, line by line')
    .option('--force', 'overwrite what was changed since, remove as much as it takes');
}

function addDiff(parent: Command, runCommand: RunCommand): Command {
  // Only what stands on a collection knows artifacts.
  const knowsArtifacts = parent.parent === null;
  const from = knowsArtifacts
    ? new Argument(
        '[FROM]',
        'after which transaction, "now", or "snapshot:NAME" (default: the newest transaction); or an artifact: since it was fetched',
      ).argParser(parseMomentOrArtifact)
    : new Argument(
        '[FROM]',
        'after which transaction, "now", or "snapshot:NAME" (default: the newest transaction)',
      ).argParser(parseMoment);
  const command = parent
    .command('diff')
    .addArgument(from)
    .addArgument(new Argument('[TO]', 'as FROM (default: now)').argParser(parseMoment))
    .description('print what differs between two moments');
  if (knowsArtifacts) {
    command.option('--upstream', 'of an artifact: what upstream has instead of what is here');
  }
  return addDiffOptions(command).action(
    async (
      side: DiffFlags['from'] | string,
      to: DiffFlags['to'],
      flags: Omit<DiffFlags, 'from' | 'to'> & { readonly upstream?: boolean },
      self: Command,
    ) =>
      runCommand(self, async (context) => {
        if (typeof side === 'string') {
          const { diffArtifact } = await import('./collection/diff-artifact.js');
          return diffArtifact(context, side, { ...flags, to });
        }
        if (flags.upstream === true) {
          throw new UsageError('--upstream needs an artifact', 'See: skillmeat list');
        }
        return (await import('./txn/diff.js')).diff(context, { ...flags, from: side, to });
      }),
  );
}

/** What to compare, and how to print it. */
export function addDiffOptions(command: Command): Command {
  return addPathOption(command)
    .option('-p, --patch', 'print the texts, as git apply and patch take them')
    .addOption(new Option('--names', 'print the paths only').conflicts('patch'));
}

function addLog(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('log')
    .argument('[PATH]', 'only what changed this path or something below it')
    .description('list transactions, newest first')
    .addOption(
      new Option('-n, --limit <count>', 'how many at most').default(20).argParser(parsePositive),
    )
    .addOption(
      new Option('--before <id>', 'only transactions before this one').argParser(parsePositive),
    )
    .action(async (path: string | undefined, flags: LogFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/log.js')).log(context, path, flags)),
    );
}

function addCat(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('cat')
    .argument('<PATH>', 'a file')
    .description('print a file as it was after a transaction, or in a snapshot')
    .addOption(
      new Option(
        '--at <moment>',
        'number of a transaction, "now", or "snapshot:NAME" (default: now)',
      ).argParser(parseMoment),
    )
    .action(async (path: string, flags: CatFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/cat.js')).cat(context, path, flags)),
    );
}

function addBlame(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('blame')
    .argument('[PATH...]', 'only these and what is below them')
    .description('print for each path which transaction changed it last')
    .action(async (paths: readonly string[], _flags: object, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/blame.js')).blame(context, paths)),
    );
}

function addAdopt(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('adopt')
    .argument('[PATH...]', 'only these and what is below them')
    .description('record what other programs changed as a transaction; no file is touched')
    .option('-m, --message <text>', 'why, for the log')
    .option('-n, --dry-run', 'print what would be recorded')
    .action(async (paths: readonly string[], flags: AdoptFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/adopt.js')).adopt(context, paths, flags),
      ),
    );
}

function addPathOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--path <path>',
      'only this path and what is below it; may be given again',
    ).argParser(collect),
  );
}
