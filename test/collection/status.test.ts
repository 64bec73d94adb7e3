import { rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { type Collection, CollectionReader } from '../../src/collection/index.js';
import { LiveView } from '../../src/collection/live-view.js';
import { useCollectionPlace } from '../support/collection.js';

/* What `status` reads, and that it misses no edit: engine/hash-memory.test.ts has what may be an edit. */

const place = useCollectionPlace();

afterEach(() => {
  vi.restoreAllMocks();
});

/** Long enough after everything that a test does for no time to be too young. */
const later = { now: () => Date.now() + 10_000 };

const at = (path: string): string => join(place.root, path);

/** A collection of three, whose status was asked for. */
async function seen(): Promise<Collection> {
  const collection = await place.open(later);
  await collection.init('mine');
  await collection.add(['canvas', 'paint', 'draw'].map((name) => place.skill(name)));
  await collection.status();
  return collection;
}

/** Returns each artifact's state by its name, and the files of artifacts that were read. */
async function look(
  status: () => ReturnType<Collection['status']>,
): Promise<{ readonly states: Readonly<Record<string, string>>; readonly read: string[] }> {
  const reading = vi.spyOn(LiveView.prototype, 'read');
  const { artifacts } = await status();
  const read = reading.mock.calls.map(([path]) => path).filter((path) => path.includes('/'));
  reading.mockRestore();
  return {
    states: Object.fromEntries(artifacts.map(({ artifact, state }) => [artifact.name, state])),
    read,
  };
}

const unchanged = { canvas: 'unchanged', paint: 'unchanged', draw: 'unchanged' };

test('the status of what did not change reads no file of it, in another process neither', async () => {
  const first = await seen();
  expect(await look(() => first.status())).toEqual({ states: unchanged, read: [] });
  await first.close();
  const second = await place.open(later);
  expect(await look(() => second.status())).toEqual({ states: unchanged, read: [] });
});

test('only the artifact that somebody edits is read again', async () => {
  const collection = await seen();
  const file = at('skills/paint/SKILL.md');
  const time = new Date('2020-01-01T00:00:00.5Z');
  utimesSync(file, time, time);
  await collection.status();
  writeFileSync(file, '# PAINT\n');
  utimesSync(file, time, time);
  const edited = { ...unchanged, paint: 'modified' };
  const read = ['skills/paint/SKILL.md', 'skills/paint/scripts/run.sh'];
  expect(await look(() => collection.status())).toEqual({ states: edited, read });
  expect(await look(() => collection.status())).toEqual({ states: edited, read: [] });
  writeFileSync(file, '# paint\n');
  expect((await look(() => collection.status())).states).toEqual(unchanged);
});

test('what a transaction changes is told as it is then', async () => {
  const collection = await seen();
  await collection.add([place.skill('paint', { 'SKILL.md': 'new' })], { force: true });
  expect(await look(() => collection.status())).toEqual({
    states: unchanged,
    read: ['skills/paint/SKILL.md'],
  });
  await collection.undo();
  expect((await look(() => collection.status())).states).toEqual(unchanged);
  await collection.rename('paint', 'colour');
  await collection.remove(['draw']);
  expect((await look(() => collection.status())).states).toEqual({
    canvas: 'unchanged',
    colour: 'unchanged',
  });
});

test('what is missing or broken is told, whatever is remembered', async () => {
  const collection = await seen();
  rmSync(at('skills/paint/SKILL.md'));
  rmSync(at('skills/draw'), { recursive: true });
  const broken = { canvas: 'unchanged', paint: 'broken', draw: 'missing' };
  expect((await look(() => collection.status())).states).toEqual(broken);
  expect((await look(() => collection.status())).states).toEqual(broken);
});

test('an artifact with a link counts what the link leads to', async () => {
  place.plant({ 'notes.md': 'one', 'skills/linked/SKILL.md': '# linked\n' });
  symlinkSync('../../notes.md', at('skills/linked/notes.md'));
  const collection = await place.open(later);
  await collection.importArtifacts({ name: 'mine' });
  expect((await look(() => collection.status())).states).toEqual({ linked: 'unchanged' });
  writeFileSync(at('notes.md'), 'two');
  expect((await look(() => collection.status())).states).toEqual({ linked: 'modified' });
});

test('what has to be sure reads everything', async () => {
  const collection = await seen();
  const { read } = await look(() => collection.reader.status());
  expect(read).toHaveLength(6);
});

test('a long look lets others run', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 4_000 }, (_, n) => [`skills/huge/${String(n)}.md`, 'x']),
  );
  place.plant({ ...files, 'skills/huge/SKILL.md': '# huge\n' });
  const collection = await place.open();
  await collection.importArtifacts({ name: 'huge' });
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  await new CollectionReader(place.root).status();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(1);
});
