import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { collect, parsePositive, withoutPrefix } from './global-options.js';
import type { AddCommand } from './history-commands.js';
import type { RunCommand } from './program.js';
import type { MetricsFlags } from './txn/metrics.js';
import type { HistoryFlags } from './txn/history.js';
import type { RollbackFlags, RollbackTarget } from './txn/rollback.js';

/** Commands that are there with and without `txn` before them. */
export const rollbackCommands: readonly AddCommand[] = [addRollback, addHistory, addMetrics];

function addRollback(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('rollback')
    .addArgument(
      new Argument(
        '<TO>',
        'number of a transaction: as it was after that one (0: before the first); or a snapshot',
      ).argParser(parseTarget),
    )
    .description('bring back what all later transactions changed, by a transaction of its own')
    .addOption(
      new Option(
        '--only <path>',
        'only this path and what is below it, or this artifact; may be given again',
      ).argParser(collect),
    )
    .option('--keep-local', 'keep what other programs changed, merged line by line')
    .option('--analyze', 'print what would change, be kept or conflict; write nothing')
    .option('-n, --dry-run', 'the same as --analyze')
    .option('-m, --message <text>', 'why, for the log')
    .option('--force', 'overwrite also what cannot be merged, remove as much as it takes')
    .action(async (to: RollbackTarget, flags: RollbackFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/rollback.js')).rollback(context, to, flags),
      ),
    );
}

function addMetrics(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('metrics')
    .description('count what the log holds: what was done, and what failed and was rolled back')
    .option('--prometheus', 'print the counts in the text format of Prometheus')
    .action(async (flags: MetricsFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/metrics.js')).metrics(context, flags),
      ),
    );
}

function addHistory(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('history')
    .argument('[PATH]', 'only what changed this path or something below it')
    .description('list what was done, newest first: undos and rollbacks as such, who and why')
    .addOption(
      new Option('-n, --limit <count>', 'how many at most').default(20).argParser(parsePositive),
    )
    .addOption(
      new Option('--before <id>', 'only transactions before this one').argParser(parsePositive),
    )
    .action(async (path: string | undefined, flags: HistoryFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/history.js')).history(context, path, flags),
      ),
    );
}

/** Parses `5`, the number of a transaction, or `before-update` or `snapshot:5`, a snapshot. */
function parseTarget(text: string): RollbackTarget {
  if (/^\d+$/.test(text)) {
    const transaction = Number(text);
    if (Number.isSafeInteger(transaction)) return { transaction };
  }
  const snapshot = withoutPrefix(text);
  if (snapshot !== '' && !text.startsWith('-')) return { snapshot };
  throw new InvalidArgumentError('Expected the number of a transaction, or a snapshot.');
}
