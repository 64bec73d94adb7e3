import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  type ArtifactKey,
  type AvailableUpdate,
  type Collection,
  type Fetcher,
  openFetcher,
  parseSource,
  type UpdateChange,
  type UpdateChoice,
} from '../../../src/collection/index.js';
import { expectCode, requireConsistent, useCollectionPlace } from '../../support/collection.js';
import { gitEnvironment, type Planted, Upstream } from '../../support/git-upstream.js';

const place = useCollectionPlace();
const canvas: ArtifactKey = 'canvas::skill';
const text = 'one\ntwo\nthree\nfour\nfive\n';
const first = {
  'canvas/SKILL.md': text,
  'canvas/run.sh': { executable: 'echo\n' },
  'canvas/pic.bin': '\0a',
};

async function openFetching(): Promise<Fetcher> {
  const home = join(place.directory, 'home');
  const cache = join(home, 'cache');
  const patience = { pauseMs: 1 };
  return openFetcher({
    home,
    cache,
    pid: process.pid,
    environment: gitEnvironment,
    now: Date.now,
    patience,
  });
}

/** A collection with a skill from a repository, and the repository. */
async function installed(): Promise<{ collection: Collection; upstream: Upstream; sha: string }> {
  const upstream = new Upstream();
  const sha = upstream.commit(first);
  const collection = await place.open();
  await collection.init('c');
  await using fetcher = await openFetching();
  const source = parseSource(`${upstream.url}//canvas`, { workingDirectory: '/', userHome: '/' });
  await using fetched = await fetcher.fetch(source);
  const { origin, versionSpec, resolvedSha, resolvedVersion } = fetched;
  const facts = { origin, upstream: fetched.upstream, versionSpec, resolvedSha, resolvedVersion };
  await collection.add([
    {
      ...facts,
      name: 'canvas',
      type: 'skill',
      path: 'skills/canvas',
      from: fetched.path,
      tags: [],
    },
  ]);
  await requireConsistent(place.root);
  return { collection, upstream, sha };
}

async function update(
  collection: Collection,
  choice: Partial<UpdateChoice> & { readonly dryRun?: boolean } = {},
  between: (updates: readonly AvailableUpdate[]) => unknown = () => undefined,
): Promise<UpdateChange> {
  await using fetcher = await openFetching();
  const looks = await collection.lookForUpdates([canvas], fetcher);
  const updates = looks.flatMap((one) => (one.kind === 'available' ? [one.update] : []));
  await between(updates);
  return await collection.update(updates, { fetcher, ...choice });
}

function read(path: string): string {
  return readFileSync(join(place.root, 'skills/canvas', path), 'latin1');
}

function edit(path: string, content: string): void {
  writeFileSync(join(place.root, 'skills/canvas', path), content, 'latin1');
}

function both(): string {
  const files = ['collection.toml', 'collection.lock'];
  return files.map((name) => readFileSync(join(place.root, name), 'utf8')).join('');
}

async function look(collection: Collection): Promise<string | undefined> {
  await using fetcher = await openFetching();
  const looks = await collection.lookForUpdates([canvas], fetcher);
  return looks[0]?.kind;
}

test('what upstream changed comes in with manifest and lock, and an undo takes it back', async () => {
  const { collection, upstream, sha } = await installed();
  expect(await look(collection)).toBe('current');
  const before = both();
  const next = upstream.commit({ ...first, 'canvas/SKILL.md': 'new\n', 'canvas/more.md': 'm' });
  expect(await look(collection)).toBe('available');
  const { updated } = await update(collection);
  expect(updated).toMatchObject([{ outcome: 'updated', from: { sha }, to: { sha: next } }]);
  expect(read('SKILL.md') + read('more.md')).toBe('new\nm');
  expect(statSync(join(place.root, 'skills/canvas/run.sh')).mode & 0o111).not.toBe(0);
  await requireConsistent(place.root);
  expect(await look(collection)).toBe('current');
  await collection.store.undo();
  expect(both()).toBe(before);
  expect(read('SKILL.md')).toBe(text);
});

test('an update brings the metadata of the new front matter, of what is merged too', async () => {
  const { collection, upstream } = await installed();
  const words = '---\ntitle: A\nauthor: Ada\n---\n';
  upstream.commit({ ...first, 'canvas/SKILL.md': words + text });
  await update(collection);
  edit('SKILL.md', `---\ntitle: A\nauthor: Me\n---\n${text}`);
  upstream.commit({ ...first, 'canvas/SKILL.md': words + text.replace('five', 'FIVE') });
  await update(collection);
  // The edit is in the artifact that is installed.
  expect((await collection.reader.artifacts())[0]?.metadata).toMatchObject({
    title: 'A',
    author: 'Ada',
  });
  upstream.commit({ ...first, 'canvas/SKILL.md': words.replace('A', 'B') + text });
  await update(collection, { strategy: 'overwrite' });
  expect((await collection.reader.artifacts())[0]?.metadata).toMatchObject({ title: 'B' });
  await requireConsistent(place.root);
});

test('another commit with the same content is nothing to do', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'other/file': 'x' });
  const before = both();
  expect(await look(collection)).toBe('current');
  expect((await update(collection)).receipt.transaction).toBeNull();
  expect(both()).toBe(before);
});

test('an edit by hand is merged, stays one, and is merged again', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', text.replace('five', 'FIVE'));
  edit('mine.md', 'mine\n');
  const files: Record<string, Planted> = {
    ...first,
    'canvas/SKILL.md': text.replace('one', 'ONE'),
  };
  upstream.commit(files);
  expect((await update(collection)).updated).toMatchObject([{ outcome: 'merged', conflicts: [] }]);
  expect(read('SKILL.md')).toBe('ONE\ntwo\nthree\nfour\nFIVE\n');
  expect(read('mine.md')).toBe('mine\n');
  expect((await collection.reader.status()).artifacts[0]?.state).toBe('modified');
  upstream.commit({
    ...files,
    'canvas/SKILL.md': text.replace('one', 'ONE').replace('three', '3'),
  });
  await update(collection);
  expect(read('SKILL.md')).toBe('ONE\ntwo\n3\nfour\nFIVE\n');
});

test('an edit that upstream made as well is no edit any more', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', text.replace('two', '2'));
  upstream.commit({ ...first, 'canvas/SKILL.md': text.replace('two', '2') });
  await update(collection);
  await requireConsistent(place.root);
});

test('a conflict aborts and changes nothing, or does as it was told', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', text.replace('three', 'mine'));
  edit('pic.bin', '\0mine');
  upstream.commit({
    ...first,
    'canvas/SKILL.md': text.replace('three', 'yours'),
    'canvas/pic.bin': '\0yours',
  });
  const before = both();
  const error = await expectCode(update(collection), 'MERGE_CONFLICT');
  expect(error).toMatchObject({
    conflicts: [{ path: 'skills/canvas/SKILL.md' }, { path: 'skills/canvas/pic.bin' }],
  });
  expect(both()).toBe(before);
  const dry = await update(collection, { onConflict: 'markers', dryRun: true });
  expect(dry.updated[0]?.conflicts.map(({ hunks }) => hunks)).toEqual([1, 0]);
  expect(both()).toBe(before);
  for (const [onConflict, line, picture] of [
    ['ours', 'mine', '\0mine'],
    ['theirs', 'yours', '\0yours'],
    [
      'markers',
      '<<<<<<< local\nmine\n||||||| last fetched\nthree\n=======\nyours\n>>>>>>> upstream',
      '\0mine',
    ],
  ] as const) {
    await update(collection, { onConflict });
    expect(read('SKILL.md')).toBe(text.replace('three', line));
    expect(read('pic.bin')).toBe(picture);
    await collection.store.undo();
    expect(read('SKILL.md')).toBe(text.replace('three', 'mine'));
  }
});

test('overwriting takes upstream whole, and the edits are a step away', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', 'mine\n');
  edit('mine.md', 'mine\n');
  upstream.commit({ ...first, 'canvas/SKILL.md': 'new\n' });
  const { updated } = await update(collection, { strategy: 'overwrite' });
  expect(updated[0]?.outcome).toBe('overwritten');
  await requireConsistent(place.root);
  await collection.store.undo();
  expect(read('SKILL.md') + read('mine.md')).toBe('mine\nmine\n');
});

test.each([
  ['the manifest', 'collection.toml'],
  ['the lock', 'collection.lock'],
])('an edit is merged with its base although %s names another version', async (_, file) => {
  const { collection, upstream, sha } = await installed();
  edit('SKILL.md', text.replace('five', 'FIVE'));
  const wrong = [
    [sha, '0123456789012345678901234567890123456789'],
    [upstream.url, 'not a source'],
  ] as const;
  // Of the manifest's upstream the update itself is asked.
  for (const [was, is] of file === 'collection.lock' ? wrong : wrong.slice(0, 1)) {
    const path = join(place.root, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace(was, is));
  }
  expect((await collection.reader.artifactStatus(canvas)).state).toBe('broken');
  upstream.commit({ ...first, 'canvas/SKILL.md': text.replace('one', 'ONE') });
  expect((await update(collection)).updated).toMatchObject([{ outcome: 'merged', conflicts: [] }]);
  expect(read('SKILL.md')).toBe('ONE\ntwo\nthree\nfour\nFIVE\n');
  expect((await collection.reader.status()).findings).toEqual([]);
});

test('without the version that was fetched, every difference is a conflict', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', text.replace('five', 'FIVE'));
  upstream.commit({ ...first, 'canvas/SKILL.md': text.replace('one', 'ONE') });
  // Its history is written anew, and nobody has the old one.
  rmSync(join(place.directory, 'home'), { recursive: true });
  const orphan = upstream.git('commit-tree', 'HEAD^{tree}', '-m', 'all');
  upstream.git('update-ref', 'HEAD', orphan);
  upstream.git('reflog', 'expire', '--expire=now', '--all');
  upstream.git('gc', '-q', '--prune=now');
  const error = await expectCode(update(collection), 'MERGE_CONFLICT');
  expect(error).toMatchObject({
    conflicts: [{ why: 'it differs, and what was last fetched is not known' }],
  });
  await using fetcher = await openFetching();
  const asked = collection.reader.diff(canvas, { fetcher, to: 'local', hasText: true });
  await expectCode(asked, 'BASE_LOST');
  await update(collection, { onConflict: 'theirs' });
  await requireConsistent(place.root);
});

test('diff shows what was edited, and what upstream has instead', async () => {
  const { collection, upstream } = await installed();
  edit('SKILL.md', text.replace('five', 'FIVE'));
  upstream.commit({ ...first, 'canvas/new.md': 'n' });
  await using fetcher = await openFetching();
  const local = await collection.reader.diff(canvas, { fetcher, to: 'local', hasText: true });
  expect(local.map(({ path, diff }) => [path, diff?.text.includes('+FIVE')])).toEqual([
    ['skills/canvas/SKILL.md', true],
  ]);
  const there = await collection.reader.diff(canvas, { fetcher, to: 'upstream', hasText: false });
  expect(there.map(({ path }) => path)).toEqual(['skills/canvas/SKILL.md', 'skills/canvas/new.md']);
});

test('nothing but the state before is left when the source is gone', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'canvas/SKILL.md': 'new' });
  rmSync(upstream.directory, { recursive: true });
  const before = both();
  await expectCode(update(collection), 'SOURCE_NOT_FOUND');
  expect(both()).toBe(before);
  expect(readdirSync(join(place.directory, 'home/tmp'))).toEqual([]);
});

test('a file becomes a directory upstream: refused, because a skill has to have its SKILL.md', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ 'canvas/other.md': 'no skill any more' });
  const before = both();
  await expectCode(update(collection), 'RULE_VIOLATED');
  expect(both()).toBe(before);
  expect(read('SKILL.md')).toBe(text);
});

test('an artifact that was updated, edited or removed meanwhile is not overwritten', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'canvas/SKILL.md': text.replace('one', 'ONE') });
  await expectCode(
    update(collection, {}, async () => {
      await update(collection);
    }),
    'MANIFEST_CHANGED',
  );
  upstream.commit({ ...first, 'canvas/SKILL.md': text.replace('one', '1') });
  // An edit by hand while it was fetched is seen, and merged.
  const { updated } = await update(collection, {}, () => {
    edit('SKILL.md', text.replace('one', 'ONE').replace('five', 'FIVE'));
  });
  expect(updated[0]?.outcome).toBe('merged');
  expect(read('SKILL.md')).toBe(text.replace('one', '1').replace('five', 'FIVE'));
  upstream.commit({ ...first, 'canvas/SKILL.md': 'x' });
  const removed = update(collection, {}, async () =>
    collection.remove(['canvas'], { force: true }),
  );
  await expectCode(removed, 'ARTIFACT_NOT_FOUND');
});

test('the manifest is edited by hand meanwhile: the edit stays', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'canvas/SKILL.md': 'new' });
  await update(collection, {}, () => {
    const path = join(place.root, 'collection.toml');
    writeFileSync(path, `# mine\n${readFileSync(path, 'utf8')}`);
  });
  expect(both()).toMatch(/^# mine\n/);
  await requireConsistent(place.root);
});

test('the collection is deleted during an update: nothing is made anew', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'canvas/SKILL.md': 'new' });
  const failed = update(collection, {}, () => {
    rmSync(place.root, { recursive: true });
  });
  await expectCode(failed, 'COLLECTION_NOT_FOUND');
  expect(readdirSync(place.directory)).not.toContain('collection');
});

test('two updates at once: one of them is done, the other sees it', async () => {
  const { collection, upstream } = await installed();
  upstream.commit({ ...first, 'canvas/SKILL.md': 'new' });
  const other = await place.open();
  const outcomes = await Promise.allSettled([update(collection), update(other)]);
  const done = outcomes.filter(({ status }) => status === 'fulfilled');
  expect(done.length).toBeGreaterThanOrEqual(1);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      expect(outcome.reason).toMatchObject({ code: 'MANIFEST_CHANGED' });
    }
  }
  expect(read('SKILL.md')).toBe('new');
  await requireConsistent(place.root);
});
