import { type Command, Option } from 'commander';
import type { AddCommand } from './history-commands.js';
import type { RunCommand } from './program.js';
import type { RepairFlags } from './txn/repair.js';
import type { VerifyFlags } from './txn/verify.js';

/** Commands that are there with and without `txn` before them. */
export const verifyCommands: readonly AddCommand[] = [addVerify, addRepair];

function addVerify(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('verify')
    .description('look at everything that the store keeps, and print what is not as it should be')
    .option('--deep', 'read and hash every stored content; otherwise presence and size')
    .action(async (flags: VerifyFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/verify.js')).verify(context, flags)),
    );
}

function addRepair(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('repair')
    .description('print what could be done about each finding of verify; with --yes, do it')
    .option('--deep', 'read and hash every stored content while looking')
    .option('-n, --dry-run', 'only print it (the default)')
    .option('--adopt', 'take over a store whose directory was copied, moved or restored')
    .addOption(new Option('-y, --yes', 'do it').conflicts('dryRun'))
    .action(async (flags: RepairFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/repair.js')).repair(context, flags)),
    );
}
