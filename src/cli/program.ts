import { Argument, Command, CommanderError, Option } from 'commander';
import { addCollectionCommands } from './collection-commands.js';
import type { Context } from './context.js';
import type { ExitCode } from './exit-codes.js';
import { addGlobalOptions, type DryRunFlags, parsePositive, planOption } from './global-options.js';
import { historyCommands, topLevelCommands } from './history-commands.js';
import { addSnapshotCommands } from './snapshot-commands.js';
import type { ApplyFlags } from './txn/apply.js';
import type { RecoverFlags } from './txn/recover.js';
import type { StatusFlags } from './txn/status.js';
import { rollbackCommands } from './rollback-commands.js';
import { keepingCommands, usageCommands } from './usage-commands.js';
import { verifyCommands } from './verify-commands.js';
import { programVersion } from './version.js';

/** Runs what a command does, with the options that stand along its chain of commands. */
export type RunCommand = (
  command: Command,
  work: (context: Context) => Promise<ExitCode>,
) => Promise<void>;

export interface ProgramOptions {
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
  readonly runCommand: RunCommand;
}

/** Builds the whole command; each command's module is loaded only when it runs. */
export function buildProgram({ writeOut, writeErr, runCommand }: ProgramOptions): Command {
  const program = new Command('skillmeat')
    .description('Keeps a collection of AI agent skills consistent on disk.')
    .version(programVersion(), '-V, --version', 'print the version')
    .exitOverride()
    // Refusals are printed in one place, and as JSON when that was asked for.
    .configureOutput({ writeOut, writeErr, outputError: () => {} })
    .enablePositionalOptions()
    .helpOption('-h, --help', 'print help')
    .addHelpText('after', examples);
  addGlobalOptions(program);
  addCollectionCommands(program, runCommand);
  const txn = program
    .command('txn')
    .description('transactions on any directory: all of a change happens or nothing does')
    .enablePositionalOptions()
    .addHelpText('after', examples);
  addGlobalOptions(txn);
  addWritingCommands(txn, runCommand);
  addReadingCommands(txn, runCommand);
  for (const add of [
    ...topLevelCommands,
    ...rollbackCommands,
    ...historyCommands,
    ...verifyCommands,
    ...usageCommands,
    ...keepingCommands,
  ]) {
    add(txn, runCommand);
  }
  addSnapshotCommands(txn, runCommand);
  for (const command of txn.commands) addGlobalOptions(command);
  for (const add of [
    ...topLevelCommands,
    ...rollbackCommands,
    ...verifyCommands,
    ...usageCommands,
  ]) {
    addGlobalOptions(add(program, runCommand));
  }
  addSnapshotCommands(program, runCommand);
  return program;
}

const examples = `
Examples:
  skillmeat txn init ~/skills
  skillmeat txn apply plan.json --dry-run
  skillmeat -C ~/skills txn apply -m "Add the review skill" < plan.toml
  skillmeat txn log --json | jq '.transactions[].message'
  skillmeat undo --dry-run
`;

function addWritingCommands(txn: Command, runCommand: RunCommand): void {
  txn
    .command('init')
    .argument('[DIR]', 'the directory to keep (default: the working directory)')
    .description('make a store in a directory; one that is there is left as it is')
    .addOption(planOption)
    .action(async (directory: string | undefined, flags: DryRunFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/init.js')).init(context, directory, flags),
      ),
    );
  txn
    .command('apply')
    .argument('[PLAN]', 'a plan in JSON, JSON Lines or TOML; - or nothing: standard input')
    .description('apply a plan (docs/plan-format.md): all of it or nothing')
    .option('-m, --message <text>', 'why, for the log; wins over the message of the plan')
    .addOption(
      new Option(
        '--format <format>',
        "the plan's format (default: by extension, else by content)",
      ).choices(['json', 'jsonl', 'toml']),
    )
    .option('-n, --dry-run', 'do everything but the commit, and print what would change')
    .option('--init', 'make the store if there is none')
    .action(async (plan: string | undefined, flags: ApplyFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/apply.js')).apply(context, plan, flags),
      ),
    );
  txn
    .command('recover')
    .description('finish or undo what an interrupted command left, and report it')
    .addOption(
      new Option('--redo <id>', 'finish this blocked or damaged transaction, whatever is lost')
        .argParser(parsePositive)
        .conflicts('undo'),
    )
    .addOption(
      new Option(
        '--undo <id>',
        'undo this blocked or damaged transaction, whatever is lost',
      ).argParser(parsePositive),
    )
    .option('--adopt', 'take over a store whose directory was copied, moved or restored')
    .option('-n, --dry-run', 'only print which transactions would be looked at')
    .action(async (flags: RecoverFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/recover.js')).recover(context, flags),
      ),
    );
}

function addReadingCommands(txn: Command, runCommand: RunCommand): void {
  txn
    .command('status')
    .description('print where the store stands and who is writing to it')
    .option('--drift', 'also look for files that other programs changed; reads all known files')
    .action(async (flags: StatusFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./txn/status.js')).status(context, flags),
      ),
    );
  txn
    .command('show')
    .addArgument(new Argument('<ID>', 'number of a transaction').argParser(parsePositive))
    .description('print one transaction with all its changes')
    .action(async (id: number, _flags: object, command: Command) =>
      runCommand(command, async (context) => (await import('./txn/show.js')).show(context, id)),
    );
  txn
    .command('doctor')
    .description('check what the store stands on, and what cannot be kept here')
    .action(async (_flags: object, command: Command) =>
      runCommand(command, async (context) => (await import('./txn/doctor.js')).doctor(context)),
    );
}

/** What commander has to say, as message and hint; `undefined` when it only printed something. */
export function readCommanderError(
  error: unknown,
  help: string,
): { readonly message: string; readonly hint: string } | undefined {
  if (!(error instanceof CommanderError) || error.exitCode === 0) return undefined;
  if (error.code === 'commander.help') return { message: 'a command is missing', hint: help };
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const hint =
    suggestion === undefined ? help : `${suggestion.replace(/^\((.*)\)$/, '$1')} ${help}`;
  return { message, hint };
}
