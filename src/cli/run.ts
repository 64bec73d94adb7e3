import { type Command, CommanderError } from 'commander';
import { outputFailed, type ExitCode, success } from './exit-codes.js';
import { toFailure, usageFailure } from './failure.js';
import { globalOptions, type GlobalOptions } from './global-options.js';
import { Interruption } from './interruption.js';
import { Output } from './output.js';
import { buildProgram, readCommanderError, type RunCommand } from './program.js';
import type { ProgressLine } from './progress.js';

/** Runs the command line `args` and returns the exit code. Everything it says is printed by then. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  guardOutput();
  let exitCode = success;
  // Until the options are parsed, the best guess.
  let output = makeOutput({ isJson: guessJson(args), isQuiet: false, allowsColor: true });
  const runCommand: RunCommand = async (command, work) => {
    const options = globalOptions(command);
    output = makeOutput(options);
    using interruption = new Interruption();
    using progress = await openProgress(options);
    // Both write to the same terminal.
    output.onBeforeLine = () => progress?.clear();
    output.onBeforeQuestion = () => progress?.pause() ?? (() => {});
    const commandLine = ['skillmeat', ...args].join(' ');
    exitCode = await work({
      options,
      output,
      signal: interruption.signal,
      onProgress: (activity) => progress?.say(activity),
      commandLine,
    });
  };
  const program = buildProgram({
    writeOut: (text) => process.stdout.write(text),
    writeErr: (text) => (guessJson(args) ? true : process.stderr.write(text)),
    runCommand,
  });
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, { output, program, args });
  }
}

async function report(
  error: unknown,
  given: { readonly output: Output; readonly program: Command; readonly args: readonly string[] },
): Promise<ExitCode> {
  const { output, program, args } = given;
  if (error instanceof CommanderError) {
    const refusal = readCommanderError(error, `See: ${nameOf(program, args)} --help`);
    // Help and the version are answers.
    if (refusal === undefined) return success;
    const failure = usageFailure(refusal.message, refusal.hint);
    output.fail(failure);
    return failure.exitCode;
  }
  const failure = await toFailure(error);
  output.fail(failure);
  return failure.exitCode;
}

/** The longest name of a command that `args` begins to spell. */
function nameOf(program: Command, args: readonly string[]): string {
  let command = program;
  const names = [program.name()];
  for (const arg of args) {
    const next = command.commands.find((candidate) => candidate.name() === arg);
    if (next === undefined) continue;
    command = next;
    names.push(arg);
  }
  return names.join(' ');
}

function makeOutput(options: Pick<GlobalOptions, 'isJson' | 'isQuiet' | 'allowsColor'>): Output {
  const { stdout, stderr, env } = process;
  const { isJson, isQuiet, allowsColor } = options;
  return new Output({ stdout, stderr, isJson, isQuiet, allowsColor, noColor: env['NO_COLOR'] });
}

function guessJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end === -1 ? args.length : end).includes('--json');
}

/** Only a person at a terminal sees progress. */
async function openProgress({ isQuiet }: GlobalOptions): Promise<ProgressLine | undefined> {
  const { stderr, env } = process;
  const isWatched = stderr.isTTY && (env['CI'] ?? '') === '' && env['TERM'] !== 'dumb';
  if (!isWatched || isQuiet) return undefined;
  const { ProgressLine: Line } = await import('./progress.js');
  return new Line(stderr);
}

/** A reader that has seen enough, as `head` has, is no failure; a full disk is one. */
function guardOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return;
      process.exitCode = outputFailed;
      if (stream === process.stderr) return;
      process.stderr.write(`skillmeat: cannot write the answer: ${error.message} [IO_FAILED]\n`);
    });
  }
}
