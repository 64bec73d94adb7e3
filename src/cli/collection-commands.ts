import { type Command, Option } from 'commander';
import type { AddFlags } from './collection/add.js';
import type { EditFlags, ImportFlags, RemoveFlags, TagFlags } from './collection/edit.js';
import type { ListFlags } from './collection/list.js';
import type { StatusFlags } from './collection/status.js';
import type { UpdateFlags } from './collection/update.js';
import { addGlobalOptions, collect, type DryRunFlags, planOption } from './global-options.js';
import type { RunCommand } from './program.js';

/** Adds the commands that work on a collection to `skillmeat`. */
export function addCollectionCommands(program: Command, runCommand: RunCommand): void {
  const commands = [
    addInit(program, runCommand),
    addCollections(program, runCommand),
    ...addLooking(program, runCommand),
    ...addEditing(program, runCommand),
    addAdd(program, runCommand),
    addImport(program, runCommand),
    ...addUpdating(program, runCommand),
  ];
  for (const command of commands) addGlobalOptions(command);
}

function addInit(program: Command, runCommand: RunCommand): Command {
  return program
    .command('init')
    .argument('[NAME]', 'what to call it (default: "default")')
    .description('make a collection, in the home of SkillMeat or in the directory of -C')
    .addOption(planOption)
    .action(async (name: string | undefined, flags: DryRunFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/init.js')).init(context, name, flags),
      ),
    );
}

function addCollections(program: Command, runCommand: RunCommand): Command {
  const collection = program
    .command('collection')
    .description('which collections there are, and which one is in use')
    .enablePositionalOptions();
  collection
    .command('list')
    .description('list the collections in the home of SkillMeat')
    .action(async (_flags: object, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/collections.js')).listCollections(context),
      ),
    );
  collection
    .command('use')
    .argument('<NAME>', 'name of a collection')
    .description('use this collection where no other is named or at hand')
    .addOption(planOption)
    .action(async (name: string, flags: DryRunFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/collections.js')).useNamed(context, name, flags),
      ),
    );
  collection
    .command('path')
    .argument('[NAME]', 'name of a collection (default: the one at hand)')
    .description('print where a collection is')
    .action(async (name: string | undefined, _flags: object, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/collections.js')).printPath(context, name),
      ),
    );
  for (const command of collection.commands) addGlobalOptions(command);
  return collection;
}

function addLooking(program: Command, runCommand: RunCommand): readonly Command[] {
  const list = program
    .command('list')
    .description('list the artifacts of the collection')
    .option('--type <type>', 'only this type: skill, command, agent, …')
    .option('--tag <tag>', 'only with this tag; may be repeated', collect)
    .action(async (flags: ListFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/list.js')).list(context, flags),
      ),
    );
  const show = program
    .command('show')
    .argument('<ARTIFACT>', artifactHelp)
    .description('print all that is known of an artifact')
    .action(async (address: string, _flags: object, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/show.js')).show(context, address),
      ),
    );
  const status = program
    .command('status')
    .description(
      'compare the artifacts with the lock: edited, outdated, missing, broken, not named',
    )
    .option('--outdated', 'ask upstream now (default: what it had when it was asked last)')
    .action(async (flags: StatusFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/status.js')).collectionStatus(context, flags),
      ),
    );
  return [list, show, status];
}

function addEditing(program: Command, runCommand: RunCommand): readonly Command[] {
  const remove = program
    .command('remove')
    .argument('<ARTIFACT...>', artifactHelp)
    .description('remove artifacts, all or none')
    .option('--force', 'also those that were edited by hand')
    .addOption(eachOption)
    .action(async (addresses: string[], flags: RemoveFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/edit.js')).remove(context, addresses, flags),
      ),
    );
  const rename = program
    .command('rename')
    .argument('<ARTIFACT>', artifactHelp)
    .argument('<NAME>', 'its new name')
    .description('give an artifact another name; its files move along')
    .action(async (address: string, name: string, flags: EditFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/edit.js')).rename(context, { address, name }, flags),
      ),
    );
  const tag = program
    .command('tag')
    .argument('<ARTIFACT...>', artifactHelp)
    .description('add tags to artifacts, or take them away')
    .option('--add <tag>', 'a tag to add; may be repeated', collect)
    .option('--remove <tag>', 'a tag to take away; may be repeated', collect)
    .action(async (addresses: string[], flags: TagFlags, command: Command) =>
      runCommand(command, async (context) =>
        (await import('./collection/edit.js')).tag(context, addresses, flags),
      ),
    );
  return [remove, rename, tag].map(addEditOptions);
}

function addAdd(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('add')
    .argument(
      '<SOURCE...>',
      'owner/repo/path@version, a git URL, a local path; a type before them says what they are',
    )
    .usage('[options] [TYPE] <SOURCE...>')
    .description('fetch artifacts and add them, all or none')
    .option('--name <name>', 'what to call the artifact (default: as its file or directory)')
    .option('--tag <tag>', 'a tag; may be repeated', collect)
    .option('--force', 'replace what is there by that name')
    .addOption(eachOption)
    .action(async (words: string[], flags: AddFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./collection/add.js')).add(context, words, flags),
      ),
    );
  return addEditOptions(command);
}

function addUpdating(program: Command, runCommand: RunCommand): readonly Command[] {
  const update = program
    .command('update')
    .argument('[ARTIFACT...]', artifactHelp)
    .description('bring in what upstream has, all or none; edits by hand are kept')
    .option('--all', 'every artifact that has an upstream')
    .addOption(
      new Option('--strategy <strategy>', 'what becomes of edits by hand; prompt asks')
        .choices(['merge', 'overwrite', 'prompt'])
        .default('merge'),
    )
    .addOption(
      new Option('--on-conflict <choice>', 'where both sides changed the same place')
        .choices(['abort', 'ours', 'theirs', 'markers'])
        .default('abort'),
    )
    .addOption(eachOption)
    .action(async (addresses: string[], flags: UpdateFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./collection/update.js')).update(context, addresses, flags),
      ),
    );
  const outdated = program
    .command('outdated')
    .argument('[ARTIFACT...]', artifactHelp)
    .description('list artifacts that upstream has something newer of')
    .action(async (addresses: string[], _flags: object, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./collection/outdated.js')).outdated(context, addresses),
      ),
    );
  return [addEditOptions(update), outdated];
}

function addImport(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('import')
    .argument('<DIR>', 'a directory with skills, commands, agents')
    .description('make a directory of artifacts a collection; no file of it is touched')
    .option('--as <type>', 'take Markdown files that lie elsewhere for this type')
    .option('--name <name>', 'what to call the collection (default: as the directory)')
    .addOption(eachOption)
    .action(async (directory: string, flags: ImportFlags, self: Command) =>
      runCommand(self, async (context) =>
        (await import('./collection/edit.js')).importDirectory(context, directory, flags),
      ),
    );
  return addEditOptions(command);
}

function addEditOptions(command: Command): Command {
  return command
    .option('-m, --message <text>', 'why, for the log')
    .option('-n, --dry-run', 'do everything but the commit, and print what would change');
}

const eachOption = new Option(
  '--each',
  'a transaction for each artifact: one that fails does not stop the others',
);

const artifactHelp = 'name of an artifact, or TYPE/NAME';
