import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { useCommandLine } from '../support/command.js';
import { Upstream } from '../support/git-upstream.js';
import { endOfInput, interrupt, Terminal } from '../support/terminal.js';

/*
 * `update --strategy prompt` at a real terminal.
 */

const cli = useCommandLine('process');
const skills = ['canvas', 'easel', 'paint'];

function environment(): Readonly<Record<string, string>> {
  return {
    SKILLMEAT_HOME: cli.at('home'),
    HOME: cli.at('.'),
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  };
}

/** Three skills that upstream has another version of. */
async function outdated(): Promise<void> {
  const upstream = new Upstream();
  const filesOf = (text: string): Record<string, string> =>
    Object.fromEntries(skills.map((name) => [`${name}/SKILL.md`, `# ${name}\n${text}\n`]));
  upstream.commit(filesOf('old'));
  const sources = skills.map((name) => `${upstream.url}//${name}`);
  for (const args of [['init'], ['add', ...sources]]) {
    expect(await cli.run(args, { env: environment() })).toMatchObject({ exitCode: 0 });
  }
  upstream.commit(filesOf('new'));
}

function ask(): Terminal {
  const args = ['update', '--all', '--strategy', 'prompt'];
  return new Terminal(args, { cwd: cli.directory, env: environment() });
}

function updated(): readonly string[] {
  return skills.filter((name) =>
    cli.read(`home/collections/default/skills/${name}/SKILL.md`).includes('new'),
  );
}

const question = '[y]es, [n]o, [a]ll, [q]uit: ';

test('each difference is shown in colours; yes, no, all, none and Ctrl-C are taken at their word', async () => {
  await outdated();
  const interrupted = ask();
  await interrupted.shows(question);
  interrupted.type('y\r');
  await interrupted.shows('Update skill/easel? ');
  interrupted.type(interrupt);
  expect(await interrupted.ends()).toBe(130);
  expect(interrupted.shown).toContain('[ABORTED]');
  expect(updated()).toEqual([]);

  const closed = ask();
  await closed.shows(question);
  closed.type(endOfInput);
  expect(await closed.ends()).toBe(130);
  expect(updated()).toEqual([]);

  const none = ask();
  await none.shows(question);
  expect(none.shown).toContain('\u001b[31m-old\u001b[39m');
  expect(none.shown).toContain('\u001b[32m+new\u001b[39m');
  expect(none.shown).toContain('Update skill/canvas? ');
  none.type('q\r');
  expect(await none.ends()).toBe(0);
  expect(none.shown.split(question)).toHaveLength(2);
  expect(updated()).toEqual([]);

  const some = ask();
  await some.shows(question);
  // What is no answer is asked again; nothing is no.
  some.type('what\r');
  await some.shows('Update skill/canvas? ', 2);
  some.type('y\r');
  await some.shows('Update skill/easel? ');
  some.type('\r');
  await some.shows('Update skill/paint? ');
  some.type('N\r');
  expect(await some.ends()).toBe(0);
  expect(some.shown).toContain('left as it is');
  expect(updated()).toEqual(['canvas']);

  const all = ask();
  await all.shows('Update skill/easel? ');
  all.type('all\r');
  expect(await all.ends()).toBe(0);
  expect(all.shown.split(question)).toHaveLength(2);
  expect(updated()).toEqual(skills);
});

test('what is shown is what would be written: edits merged, conflicts told', async () => {
  const upstream = new Upstream();
  const text = 'one\ntwo\nthree\nfour\nfive\n';
  upstream.commit({ 'canvas/SKILL.md': text });
  const env = environment();
  expect(await cli.run(['init'], { env })).toMatchObject({ exitCode: 0 });
  expect(await cli.run(['add', `${upstream.url}//canvas`], { env })).toMatchObject({ exitCode: 0 });
  const skill = 'home/collections/default/skills/canvas/SKILL.md';
  cli.write(skill, text.replace('five', 'mine'));
  upstream.commit({ 'canvas/SKILL.md': text.replace('one', 'ONE') });

  const merged = ask();
  await merged.shows(question);
  expect(merged.shown).toContain('\u001b[31m-one\u001b[39m\n\u001b[32m+ONE\u001b[39m\n');
  // The edit stays, so it is no part of what would change.
  expect(merged.shown).not.toMatch(/[-+](?:mine|five)/);
  expect(merged.shown).toContain('merged: 1 file, 2 places\n');
  merged.type('y\r');
  expect(await merged.ends()).toBe(0);
  expect(cli.read(skill)).toBe('ONE\ntwo\nthree\nfour\nmine\n');

  upstream.commit({ 'canvas/SKILL.md': text.replace('one', 'ONE').replace('five', 'yours') });
  const torn = ask();
  await torn.shows(question);
  expect(torn.shown).toContain('\u001b[32m+<<<<<<< local\u001b[39m');
  expect(torn.shown).toContain('\u001b[32m+yours\u001b[39m');
  expect(torn.shown).toContain('! SKILL.md: both sides changed it in one place: not decided');
  expect(torn.shown).toContain('With yes the whole update is refused');
  torn.type('y\r');
  expect(await torn.ends()).toBe(5);
  expect(torn.shown).toContain('[MERGE_CONFLICT]');

  const plain = new Terminal(
    ['update', 'canvas', '--strategy', 'prompt', '--on-conflict', 'theirs'],
    { cwd: cli.directory, env: { ...env, NO_COLOR: '1' } },
  );
  await plain.shows(question);
  expect(plain.shown).toContain('\n-mine\n+yours\n');
  expect(plain.shown).not.toContain('\u001b[3');
  expect(plain.shown).toContain('would be taken from upstream');
  plain.type('yes\r');
  expect(await plain.ends()).toBe(0);
  expect(cli.read(skill)).toBe('ONE\ntwo\nthree\nfour\nyours\n');
});

test('an update that upstream has by an edit of the same changes no file, and says so', async () => {
  const upstream = new Upstream();
  upstream.commit({ 'canvas/SKILL.md': 'one\n' });
  const env = environment();
  expect(await cli.run(['init'], { env })).toMatchObject({ exitCode: 0 });
  expect(await cli.run(['add', `${upstream.url}//canvas`], { env })).toMatchObject({ exitCode: 0 });
  cli.write('home/collections/default/skills/canvas/SKILL.md', 'two\n');
  upstream.commit({ 'canvas/SKILL.md': 'two\n' });
  const same = ask();
  await same.shows(question);
  expect(same.shown).toContain('No file would change: upstream has what is here.\n');
  same.type('y\r');
  expect(await same.ends()).toBe(0);
});

test('no progress is drawn over a question that somebody thinks about', async () => {
  await outdated();
  const thinking = ask();
  await thinking.shows(question);
  // Longer than what is quick enough to show nothing.
  await setTimeout(1_500);
  thinking.type('q\r');
  expect(await thinking.ends()).toBe(0);
  const [, after = ''] = thinking.shown.split(question);
  expect(after).not.toContain('skillmeat:');
});
