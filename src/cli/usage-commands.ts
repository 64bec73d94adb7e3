import { Argument, type Command, Option } from 'commander';
import { parseAge, parseCount, parseSize } from './amounts.js';
import { type DryRunFlags, parsePositive, planOption } from './global-options.js';
import type { AddCommand } from './history-commands.js';
import type { RunCommand } from './program.js';
import type { PolicyFlags } from './txn/policy.js';
import type { PruneHistoryFlags } from './txn/prune-history.js';

/** Commands that are there with and without `txn` before them. */
export const usageCommands: readonly AddCommand[] = [addDu, addPrune];

/** Commands about what history keeps that are below `txn` only. */
export const keepingCommands: readonly AddCommand[] = [
  addPin,
  addUnpin,
  addTag,
  addUntag,
  addPolicy,
];

function addDu(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('du')
    .description('print what history costs: transactions, snapshots, trash, leftovers')
    .action(async (_flags: object, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/du.js')).du(context)),
    );
}

function addPrune(parent: Command, runCommand: RunCommand): Command {
  const command = parent
    .command('prune')
    .description('drop what old transactions displaced: they cannot be undone any more')
    .option('-n, --dry-run', 'only print what is kept, what is not, and why')
    .option('--pack', 'compress what is kept, and what snapshots hold, together')
    .option('--now', 'also what is not a day old')
    .addHelpText('after', '\nWithout a rule, what happens by itself: skillmeat txn policy\n');
  return addRules(command).action(async (flags: PruneHistoryFlags, self: Command) =>
    runCommand(self, async (context) =>
      (await import('./txn/prune-history.js')).pruneHistory(context, flags),
    ),
  );
}

function addPolicy(parent: Command, runCommand: RunCommand): Command {
  const command = parent
    .command('policy')
    .description('print what prune keeps without a rule, and by itself; with a rule, set it')
    .addOption(planOption)
    .option(
      '--reset',
      'go back to the default: --keep-last 1000 --max-size 2G --keep-records 10000 --pack-from 1M',
    )
    .addOption(
      new Option(
        '--pack-from <size>',
        'pack what was displaced when it is so much: 500k, 10M; 0: never (default: 1M)',
      ).argParser(parseSize),
    );
  return addRules(command).action(async (flags: PolicyFlags, self: Command) =>
    runCommand(self, async (context) => (await import('./txn/policy.js')).policy(context, flags)),
  );
}

function addRules(command: Command): Command {
  return command
    .addOption(new Option('--keep-last <n>', 'keep the newest ones').argParser(parseCount))
    .addOption(
      new Option('--keep-within <age>', 'keep those that are younger: 12h, 30d, 8w').argParser(
        parseAge,
      ),
    )
    .addOption(new Option('--keep-daily <n>', 'keep the last of each day').argParser(parseCount))
    .addOption(new Option('--keep-weekly <n>', 'keep the last of each week').argParser(parseCount))
    .addOption(
      new Option('--keep-monthly <n>', 'keep the last of each month').argParser(parseCount),
    )
    .addOption(
      new Option(
        '--max-size <size>',
        'drop the oldest until the rest takes no more: 500k, 10M, 2G',
      ).argParser(parseSize),
    )
    .addOption(
      new Option(
        '--keep-records <n>',
        'of what was pruned before, keep the newest in the log (default: 10000)',
      ).argParser(parseCount),
    );
}

function addPin(parent: Command, runCommand: RunCommand): Command {
  return addMarking(parent, 'pin', 'keep what a transaction displaced, whatever is pruned').action(
    async (id: number, flags: DryRunFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/mark.js')).mark(context, id, { ...flags, pin: true }),
      ),
  );
}

function addUnpin(parent: Command, runCommand: RunCommand): Command {
  return addMarking(parent, 'unpin', 'take a pin back').action(
    async (id: number, flags: DryRunFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/mark.js')).mark(context, id, { ...flags, pin: false }),
      ),
  );
}

function addTag(parent: Command, runCommand: RunCommand): Command {
  return addMarking(parent, 'tag', 'give a transaction tags; they keep what it displaced, too')
    .argument('<TAG...>', 'one word or more each')
    .action(async (id: number, addTags: readonly string[], flags: DryRunFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/mark.js')).mark(context, id, { ...flags, addTags }),
      ),
    );
}

function addUntag(parent: Command, runCommand: RunCommand): Command {
  return addMarking(parent, 'untag', 'take tags of a transaction back')
    .argument('<TAG...>', 'as they were given')
    .action(async (id: number, removeTags: readonly string[], flags: DryRunFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./txn/mark.js')).mark(context, id, { ...flags, removeTags }),
      ),
    );
}

function addMarking(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .addArgument(new Argument('<ID>', 'number of a transaction').argParser(parsePositive))
    .description(description)
    .addOption(planOption);
}
