import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { json, type Outcome, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

async function run(args: readonly string[], cwd = '.'): Promise<Outcome> {
  return cli.run(args, { cwd, env: { SKILLMEAT_HOME: cli.at('home'), HOME: cli.at('.') } });
}

async function ok(args: readonly string[], cwd?: string): Promise<string> {
  const outcome = await run(args, cwd);
  expect(outcome).toMatchObject({ exitCode: 0 });
  return outcome.stdout;
}

function failure(code: string, exitCode: number): object {
  return { exitCode, stderr: expect.stringContaining(`[${code}]`) as string };
}

function plant(): void {
  cli.write('work/skills/canvas/SKILL.md', '# Canvas\n');
  cli.write('work/commands/review.md', 'review\n');
  cli.write('work/agents/review.md', 'agent\n');
}

test('collections are made at home, listed and used', async () => {
  expect(await run(['list'])).toMatchObject(failure('COLLECTION_NOT_FOUND', 7));
  expect(await ok(['init'])).toContain('It is the one in use.');
  await ok(['init', 'work']);
  expect(await ok(['collection', 'list'])).toMatch(/^\* default .*\n {2}work /);
  await ok(['collection', 'use', 'work']);
  const listed = JSON.parse(await ok(['collection', 'list', '--json'])) as object;
  expect(listed).toEqual({
    collections: [
      { name: 'default', root: cli.at('home/collections/default'), inUse: false },
      { name: 'work', root: cli.at('home/collections/work'), inUse: true },
    ],
  });
  expect(await ok(['collection', 'path'])).toBe(`${cli.at('home/collections/work')}\n`);
  expect(await ok(['list', '--collection', 'default'])).toBe('No artifacts.\n');
  expect(await ok(['log'])).toContain('init work');
  expect(await run(['txn', 'log'])).toMatchObject(failure('STORE_NOT_FOUND', 7));
  expect(await run(['collection', 'use', 'none'])).toMatchObject(
    failure('COLLECTION_NOT_FOUND', 7),
  );
  expect(await run(['init', '../x'])).toMatchObject(failure('COLLECTION_NAME_INVALID', 4));
  expect(JSON.parse(await ok(['init', '--json']))).toMatchObject({
    collection: { created: false },
  });
});

test('a configuration that makes no sense is named, and kept', async () => {
  await ok(['init']);
  cli.write('home/config.toml', '# mine\n[other]\na = 1\n');
  await ok(['init', 'work']);
  await ok(['collection', 'use', 'work']);
  expect(cli.read('home/config.toml')).toBe(
    '# mine\n[other]\na = 1\n\n[settings]\nactive-collection = "work"\n',
  );
  cli.write('home/config.toml', '[settings]\nactive-collection = 5\n');
  expect(await run(['list'])).toMatchObject(failure('CONFIG_INVALID', 8));
  cli.write('home/config.toml', 'x = [\n');
  expect(await run(['list'])).toMatchObject(failure('TOML_INVALID', 8));
});

test('a dry run of import makes nothing; import makes a collection of what is there', async () => {
  plant();
  const planned = JSON.parse(await ok(['import', 'work', '--dry-run', '--json'])) as object;
  expect(planned).toEqual({
    transaction: null,
    artifacts: [
      { name: 'review', type: 'agent' },
      { name: 'review', type: 'command' },
      { name: 'canvas', type: 'skill' },
    ],
    skipped: [],
  });
  expect(existsSync(cli.at('work/.skillmeat'))).toBe(false);
  expect(await ok(['import', 'work'])).toBe(
    'Imported agent/review, command/review, skill/canvas (transaction 1).\n',
  );
  expect(await run(['-C', 'home', 'import', 'work'])).toMatchObject(failure('USAGE', 2));
  // Neither makes the directory, or a store in it.
  expect(await run(['import', 'work/none'])).toMatchObject(failure('SOURCE_NOT_FOUND', 4));
  expect(existsSync(cli.at('work/none'))).toBe(false);
  cli.write('plain/notes.txt', 'x');
  expect(await run(['import', 'plain'])).toMatchObject(failure('NOTHING_TO_IMPORT', 4));
  expect(await run(['import', 'plain/notes.txt'])).toMatchObject(failure('SOURCE_NOT_FOUND', 4));
  expect(readdirSync(cli.at('plain'))).toEqual(['notes.txt']);
  expect(await run(['import', 'work', '--as', 'song'])).toMatchObject(
    failure('ARTIFACT_TYPE_INVALID', 4),
  );
});

test('a dry run of import makes no store for a collection that has none', async () => {
  plant();
  cli.write('work/collection.toml', '[collection]\nname = "work"\nversion = "1.0.0"\n');
  cli.write('work/collection.lock', '');
  const planned = await run(['import', 'work', '--dry-run']);
  expect(planned).toMatchObject(failure('STORE_NOT_FOUND', 7));
  expect(planned.stderr).toContain('A dry run makes no store');
  expect(existsSync(cli.at('work/.skillmeat'))).toBe(false);
});

test('a store is made in the collection that is named', async () => {
  await ok(['init']);
  cli.write('home/collections/default/x', '');
  cli.write('plan.json', planOf(writing('a', 'x')));
  await ok(['txn', 'apply', '--init', '--collection', 'default', 'plan.json']);
  expect(cli.read('home/collections/default/a')).toBe('x');
  expect(existsSync(cli.at('.skillmeat'))).toBe(false);
  expect(await ok(['txn', 'init', '--collection', 'default'])).toContain(
    'There is a store already',
  );
  expect(await run(['txn', 'init', '.', '--collection', 'default'])).toMatchObject(
    failure('USAGE', 2),
  );
});

test('what a person does with artifacts', async () => {
  plant();
  await ok(['import', 'work']);
  expect(await ok(['list', '--type', 'skills'], 'work')).toBe('skill  canvas  local\n');
  expect(await run(['show', 'review'], 'work')).toMatchObject(failure('ARTIFACT_AMBIGUOUS', 4));
  expect(await ok(['show', 'command/review'], 'work')).toContain('State:       as installed');
  expect(await ok(['status'], 'work/skills')).toContain('Everything is as the lock has it.');

  cli.write('work/skills/canvas/SKILL.md', 'by hand\n');
  cli.write('work/agents/new.md', 'x');
  expect(await ok(['status'], 'work')).toContain('M skill/canvas  edited by hand\n? agents/new.md');
  expect(await run(['remove', 'canvas'], 'work')).toMatchObject(failure('ARTIFACT_MODIFIED', 5));
  expect(await ok(['remove', 'canvas', '--force', '-n'], 'work')).toBe(
    'Would remove skill/canvas: 4 paths.\n',
  );
  expect(await ok(['remove', 'canvas', '--force'], 'work')).toBe(
    'Removed skill/canvas (transaction 2).\n',
  );
  expect(existsSync(cli.at('work/skills/canvas'))).toBe(false);
  await ok(['undo'], 'work');
  expect(cli.read('work/skills/canvas/SKILL.md')).toBe('by hand\n');

  expect(await ok(['tag', 'canvas', '--add', 'a'], 'work')).toContain('Tagged skill/canvas');
  expect(await ok(['tag', 'canvas', '--add', 'a'], 'work')).toBe('Nothing to change.\n');
  expect(await run(['tag', 'canvas'], 'work')).toMatchObject(failure('USAGE', 2));
  expect(await ok(['rename', 'canvas', 'draw', '-m', 'better'], 'work')).toContain(
    'Renamed canvas to skill/draw',
  );
  expect(await ok(['log', '-n', '1'], 'work')).toContain('better');
  const shown = JSON.parse(await ok(['show', 'draw', '--json'], 'work')) as object;
  expect(shown).toMatchObject({
    artifact: { name: 'draw', path: 'skills/draw', tags: ['a'], upstream: null },
    state: 'modified',
    lock: { contentHash: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
  });
});

test('a broken collection says what is broken, and exits with 3', async () => {
  plant();
  await ok(['import', 'work']);
  cli.write('work/collection.lock', '[lock]\nversion = "1.0.0"\n');
  const outcome = await run(['status', '--json'], 'work');
  expect(outcome.exitCode).toBe(3);
  expect(json(outcome)).toMatchObject({
    findings: [
      { rule: 'C2', artifact: { name: 'review', type: 'agent' }, path: 'collection.lock' },
      { rule: 'C2' },
      { rule: 'C2' },
    ],
  });
  cli.write(
    'work/collection.toml',
    `${readFileSync(cli.at('work/collection.toml'), 'utf8')}x = [\n`,
  );
  const broken = await run(['list'], 'work');
  expect(broken).toMatchObject(failure('TOML_INVALID', 8));
  expect(broken.stderr).toMatch(/collection\.toml:\d+:\d+: /);
});

test('a manifest that somebody broke is a finding, and can be brought back', async () => {
  plant();
  await ok(['import', 'work']);
  await ok(['tag', 'canvas', '--add', 'first'], 'work');
  await ok(['tag', 'canvas', '--add', 'second'], 'work');
  cli.write('work/collection.toml', 'name = "x" "y"\n');
  const verified = await run(['verify', '--json'], 'work');
  expect(verified.exitCode).toBe(3);
  expect(JSON.parse(verified.stdout)).toMatchObject({
    verification: {
      findings: [{ kind: 'drift' }],
      collection: [{ rule: 'C1', artifact: null, path: 'collection.toml' }],
    },
  });
  const planned = await run(['repair'], 'work');
  expect(planned.exitCode).toBe(3);
  expect(planned.stdout).toMatch(
    /^C1 collection\.toml: collection\.toml:1:\d+: .*\n {2}would {4}put back collection\.toml, as before transaction 3: /,
  );
  for (const args of [['list'], ['rollback', '2', '--only', 'canvas']]) {
    const refused = await run(args, 'work');
    expect(refused).toMatchObject(failure('TOML_INVALID', 8));
    expect(refused.stderr).toContain('skillmeat repair');
  }
  const done = await ok(['repair', '--yes', '--json'], 'work');
  expect(JSON.parse(done)).toMatchObject({
    repair: {
      isDryRun: false,
      findings: [],
      collection: [
        {
          finding: { rule: 'C1', artifact: null, path: 'collection.toml' },
          action: 'put-back',
          message: expect.stringMatching(/^put back collection\.toml, as before /) as string,
          outcome: 'done',
        },
      ],
    },
  });
  expect(await ok(['verify'], 'work')).toContain('No findings');
  // What was broken is in history, as what other programs did.
  expect(await ok(['txn', 'cat', 'collection.toml', '--at', '4'], 'work')).toBe('name = "x" "y"\n');
  expect(await ok(['list', '--tag', 'first'], 'work')).toContain('canvas');
  cli.write('work/collection.toml', 'name = "x" "y"\n');
  expect(await ok(['rollback', '2', '--only', 'collection.toml'], 'work')).toContain(
    'M collection.toml',
  );
  expect(await ok(['list', '--tag', 'first'], 'work')).toContain('canvas');
  expect(await ok(['status'], 'work')).toContain('Everything is as the lock has it.');
});

test('a broken collection without a store is told that nothing earlier is kept', async () => {
  plant();
  await ok(['init']);
  cli.write('work/collection.toml', '[collection]\nname = "x" "y"\n');
  for (const command of ['repair', 'verify']) {
    const refused = await run([command, '--json'], 'work');
    expect(JSON.parse(refused.stdout)).toEqual({
      error: {
        code: 'TOML_INVALID',
        message: expect.stringMatching(/^collection\.toml:2:12: /) as string,
        path: 'collection.toml',
        hint: 'Correct that place by hand: this collection has no store, so no earlier version is kept.',
      },
    });
  }
  // Nor is it the collection in use that is meant.
  cli.write('work/collection.toml', '[collection]\nname = "x"\n');
  for (const command of ['repair', 'undo']) {
    expect(await run([command], 'work')).toMatchObject(failure('STORE_NOT_FOUND', 7));
  }
});

test('an older transaction is undone artifact by artifact, and says so', async () => {
  plant();
  await ok(['import', 'work']);
  await ok(['tag', 'canvas', '--add', 'first'], 'work');
  await ok(['tag', 'command/review', '--add', 'second'], 'work');
  const planned = await ok(['undo', '2', '--dry-run'], 'work');
  expect(planned).toBe(
    'Would undo transaction 2: 1 changed (1 replaced).\nM collection.toml\n1 path merged\n',
  );
  expect(JSON.parse(await ok(['undo', '2', '--json'], 'work'))).toMatchObject({
    transaction: { id: 4, annotations: { undoes: 2 } },
    undone: 2,
    paths: [{ path: 'collection.toml', outcome: 'merged' }],
  });
  expect(await ok(['list', '--tag', 'second'], 'work')).toContain('review');
  expect(await ok(['redo', '2'], 'work')).toContain('Redone by transaction 5');
  await ok(['tag', 'canvas', '--add', 'third'], 'work');
  const refused = await run(['undo', '2', '--json'], 'work');
  expect(refused.exitCode).toBe(5);
  expect(JSON.parse(refused.stdout)).toMatchObject({
    error: {
      code: 'UNDO_CONFLICT',
      path: 'collection.toml',
      conflicts: [
        { path: 'collection.toml', why: 'skill/canvas is not as the transaction left it' },
      ],
    },
  });
});

test('of a transaction of several artifacts one alone is undone', async () => {
  plant();
  await ok(['import', 'work']);
  await ok(['tag', 'canvas', 'command/review', '--add', 'both'], 'work');
  expect(JSON.parse(await ok(['undo', '2', '--only', 'canvas', '--json'], 'work'))).toMatchObject({
    transaction: { id: 3, annotations: { undoes: 2, paths: ['collection.toml'] } },
    undone: 2,
    paths: [{ path: 'collection.toml', outcome: 'merged' }],
  });
  const tagged = await ok(['list', '--tag', 'both'], 'work');
  expect(tagged).toContain('review');
  expect(tagged).not.toContain('canvas');
  expect(await run(['undo', '--only', 'canvas'], 'work')).toMatchObject(failure('USAGE', 2));
  expect(await run(['undo', '3', '--only', 'agent/review'], 'work')).toMatchObject(
    failure('ARTIFACT_NOT_FOUND', 4),
  );
});

test('what is outdated is asked without a store, too', async () => {
  plant();
  cli.write('work/collection.toml', 'artifacts = []\n\n[collection]\nname = "old"\n');
  expect(await ok(['outdated'], 'work')).toBe('No artifacts.\n');
  expect(existsSync(cli.at('work/.skillmeat'))).toBe(false);
});

test('a collection of the predecessor, without a store, is read without making one', async () => {
  plant();
  cli.write('work/collection.toml', 'artifacts = []\n\n[collection]\nname = "old"\n');
  expect(await ok(['list'], 'work')).toBe('No artifacts.\n');
  expect(await ok(['status'], 'work')).toContain('? skills/canvas');
  expect(await run(['tag', 'x', '--add', 'a', '-n'], 'work')).toMatchObject(
    failure('STORE_NOT_FOUND', 7),
  );
  expect(existsSync(cli.at('work/.skillmeat'))).toBe(false);
});

test('history calls what was done by its name, with artifacts and versions', async () => {
  plant();
  await ok(['import', 'work']);
  await ok(['tag', 'canvas', '--add', 'a'], 'work');
  await ok(['rename', 'canvas', 'draw'], 'work');
  await ok(['remove', 'command/review'], 'work');
  await ok(['rollback', '2', '--only', 'command/review'], 'work');
  const rollback = json(await run(['rollback', '1', '--only', 'canvas', '-n', '--json'], 'work'));
  expect(rollback).toMatchObject({
    transaction: {
      annotations: { label: { verb: 'rollback', subjects: [{ name: 'skill/canvas' }] } },
    },
  });
  const lines = (await ok(['history'], 'work'))
    .replaceAll(/\S+Z/g, 'TIME')
    .replaceAll(/ by \S+/g, '')
    .split('\n');
  expect(lines.map((line) => line.trimEnd())).toEqual([
    '5  TIME  rollback 4 → 2  3 changes   only commands/review.md',
    '   command/review',
    '   roll back to 2: tag canvas',
    '4  TIME  remove          3 changes',
    '   command/review',
    '   remove command/review',
    '3  TIME  rename          6 changes',
    '   skill/draw (was skill/canvas)',
    '   rename canvas to draw',
    '2  TIME  tag             1 change',
    '   skill/canvas',
    '   tag canvas',
    '1  TIME  import          2 changes',
    '   agent/review, command/review, skill/canvas',
    '   import work',
    '',
  ]);
  expect(json(await run(['history', '-n', '1', '--json'], 'work'))).toMatchObject({
    history: [
      {
        kind: 'rollback',
        annotations: { label: { verb: 'rollback', subjects: [{ name: 'command/review' }] } },
      },
    ],
  });
});

test('with --each one that fails does not stop the others, and a table says so', async () => {
  plant();
  await ok(['init']);
  const sources = ['work/skills/canvas', './none', 'x:y z', 'work/commands/review.md'];
  const all = await run(['add', ...sources]);
  expect(all).toMatchObject(failure('SOURCE_INVALID', 4));
  expect(await run(['add', ...sources, '--each', '-n'])).toMatchObject({
    exitCode: 3,
    stdout: expect.stringMatching(
      /Would add skill\/canvas[^]*\n2 planned, 2 failed\.\n$/,
    ) as string,
  });
  expect(await ok(['list'])).toBe('No artifacts.\n');
  const added = await run(['add', ...sources, '--each']);
  expect(added.exitCode).toBe(3);
  expect(added.stdout.replaceAll(cli.at('.'), '')).toBe(
    [
      'work/skills/canvas       Added skill/canvas (transaction 2).',
      './none                   failed: /none does not exist [SOURCE_NOT_FOUND]',
      'x:y z                    failed: the source "x:y z" is neither a path that exists nor a git URL [SOURCE_INVALID]',
      'work/commands/review.md  Added command/review (transaction 3).',
      '2 done, 2 failed.',
      '',
    ].join('\n'),
  );
  expect(await run(['add', 'work/skills/canvas', 'x', '--each', '--name', 'y'])).toMatchObject(
    failure('USAGE', 2),
  );
  // One alone exits as it would without --each.
  expect(await run(['add', 'work/skills/canvas', '--each'])).toMatchObject({ exitCode: 4 });

  cli.write('home/collections/default/skills/canvas/SKILL.md', 'edited\n');
  const removed = await run(['remove', 'canvas', 'review', 'review', 'zz', '--each', '--json']);
  expect(removed.exitCode).toBe(3);
  expect(json(removed)).toMatchObject({
    results: [
      {
        subject: 'canvas',
        outcome: 'failed',
        transaction: null,
        artifacts: [],
        conflicts: [{ path: 'skills/canvas', why: 'edited by hand' }],
        error: { code: 'ARTIFACT_MODIFIED', hint: expect.stringContaining('--force') as string },
      },
      {
        subject: 'review',
        outcome: 'done',
        transaction: { id: 4, message: 'remove review' },
        artifacts: [{ name: 'review', type: 'command' }],
        conflicts: [],
        error: null,
      },
      { subject: 'zz', outcome: 'failed', error: { code: 'ARTIFACT_NOT_FOUND' } },
    ],
  });
});

test('import --each makes a transaction for each artifact, and finds nothing the next time', async () => {
  plant();
  cli.write('work/x/skills/canvas/SKILL.md', '# Another\n');
  expect(json(await run(['import', 'work', '--each', '-n', '--json']))).toEqual({
    results: (['agent', 'command', 'skill'] as const).map((type) => ({
      subject: { agent: 'agents/review.md', command: 'commands/review.md', skill: 'skills/canvas' }[
        type
      ],
      outcome: 'done',
      transaction: null,
      artifacts: [{ name: type === 'skill' ? 'canvas' : 'review', type }],
      conflicts: [],
      error: null,
    })),
    skipped: [{ path: 'x/skills/canvas', why: 'skills/canvas is the skill of that name' }],
  });
  const imported = await run(['import', 'work', '--each']);
  expect(imported).toMatchObject({
    exitCode: 0,
    stderr:
      'skillmeat: warning: left out x/skills/canvas: skills/canvas is the skill of that name\n',
  });
  expect(imported.stdout).toMatch(
    /^agents\/review\.md +Imported agent\/review \(transaction 1\)\.\n(?:.*\n){2}3 done, 0 failed\.\n$/,
  );
  cli.write('work/agents/new.md', 'new\n');
  expect(json(await run(['import', 'work', '--each', '--json']))).toMatchObject({
    results: [{ subject: 'agents/new.md', outcome: 'done', transaction: { id: 4 } }],
    skipped: [{ path: 'x/skills/canvas' }],
  });
  expect(await ok(['import', 'work', '--each'])).toBe('0 done, 0 failed.\n');
  expect(await ok(['verify'], 'work')).toContain('No findings');
});

test('what is not copied is told, and a type that is none names those that are', async () => {
  plant();
  cli.write('work/skills/canvas/.git/HEAD', 'x');
  cli.write('work/skills/canvas/deep/.gitignore', 'x');
  await ok(['init']);
  const added = await run(['add', 'work/skills/canvas', '--json']);
  expect(added.stderr).toBe('skillmeat: left out of work/skills/canvas: .git, deep/.gitignore\n');
  expect(json(added)).toMatchObject({
    artifacts: [{ name: 'canvas' }],
    notes: ['.git', 'deep/.gitignore'].map((path) => ({
      source: 'work/skills/canvas',
      path,
      why: 'left out: it is never copied',
    })),
  });
  expect((await run(['add', 'work/skills/canvas', '--force', '-q'])).stderr).toBe('');
  for (let n = 0; n < 5; n += 1) cli.write(`work/skills/canvas/${String(n)}.pyc`, '');
  expect((await run(['add', 'work/skills/canvas', '--force'])).stderr).toContain(
    ': .git, 0.pyc, 1.pyc, 2.pyc, 3.pyc and 2 more\n',
  );
  const wrong = await run(['add', 'scill', 'work/skills/canvas']);
  expect(wrong).toMatchObject(failure('ARTIFACT_TYPE_INVALID', 4));
  expect(wrong.stderr).toContain('The types are skill, command, agent');
});

test('a tag that could not be printed or typed is refused, and nothing is fetched', async () => {
  plant();
  await ok(['init']);
  await ok(['add', 'work/skills/canvas', '--tag', 'fine']);
  for (const tag of ['', ' x', '-x', 'a\nb', 'x'.repeat(101)]) {
    expect(await run(['tag', 'canvas', '--add', tag])).toMatchObject(failure('TAG_INVALID', 4));
    expect(await run(['add', 'work/commands/review.md', '--tag', tag])).toMatchObject(
      failure('TAG_INVALID', 4),
    );
  }
  expect(await ok(['list'])).toBe('skill  canvas  local  #fine\n');
});

test('repair does not offer --yes where a person has to decide', async () => {
  plant();
  await ok(['import', 'work']);
  const manifest = cli.read('work/collection.toml');
  cli.write('work/collection.toml', `${manifest}\n[broken\n`);
  await ok(['txn', 'adopt'], 'work');
  const repair = await run(['repair'], 'work');
  expect(repair.exitCode).toBe(3);
  expect(repair.stdout).toMatch(/\n1 finding, for a person to answer: see above\.\n$/);
  expect(repair.stdout).not.toContain('--yes');
});

test('in a plain store a word that is no moment is called that', async () => {
  cli.write('plain/a', 'a');
  await ok(['txn', 'init'], 'plain');
  for (const args of [['nope'], ['nope', '3'], ['nope', '--path', 'a']]) {
    expect((await run(['diff', ...args], 'plain')).stderr).toContain('"nope" is no moment: ');
  }
  await ok(['init']);
  expect((await run(['diff', 'nope', '3'], 'plain')).stderr).toContain('"nope" is no moment: ');
  expect(await run(['diff', 'nope'], 'plain')).toMatchObject(failure('ARTIFACT_NOT_FOUND', 4));
});
