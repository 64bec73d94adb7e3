import type { Command } from 'commander';
import type { RunCommand } from './program.js';
import type { VerifyFlags } from './txn/verify.js';

/** Adds `verify` to a command, and returns it. */
export function addVerify(parent: Command, runCommand: RunCommand): Command {
  return parent
    .command('verify')
    .description('look at everything that the store keeps, and print what is not as it should be')
    .option('--deep', 'read and hash every stored content; otherwise presence and size')
    .action(async (flags: VerifyFlags, self: Command) =>
      runCommand(self, async (context) => (await import('./txn/verify.js')).verify(context, flags)),
    );
}
