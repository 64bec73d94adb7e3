import { type Command, Option } from 'commander';
import { parseAge, parseCount, parseSize } from './amounts.js';
import type { AddCommand } from './history-commands.js';
import type { RunCommand } from './program.js';
import type { PruneHistoryFlags } from './txn/prune-history.js';

/** Commands that are there with and without `txn` before them. */
export const usageCommands: readonly AddCommand[] = [addDu, addPrune];

function addDu(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('du')
    .description('print what history costs: transactions, snapshots, trash, leftovers')
    .action(async (_flags: object, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/du.js')).du(context)),
    );
}

function addPrune(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('prune')
    .description('drop what old transactions displaced: they cannot be undone any more')
    .addOption(new Option('--keep-last <n>', 'keep the newest ones').argParser(parseCount))
    .addOption(
      new Option('--keep-within <age>', 'keep those that are younger: 12h, 30d, 8w').argParser(
        parseAge,
      ),
    )
    .addOption(
      new Option(
        '--max-size <size>',
        'drop the oldest until the rest takes no more: 500k, 10M, 2G',
      ).argParser(parseSize),
    )
    .option('-n, --dry-run', 'only print what is kept, what is not, and why')
    .addHelpText(
      'after',
      '\nWithout a rule, what happens by itself: --keep-last 1000 --max-size 2G\n',
    )
    .action(async (flags: PruneHistoryFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/prune-history.js')).pruneHistory(context, flags),
      ),
    );
}
