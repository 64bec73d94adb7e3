import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { gitEnvironment, plant, Upstream } from '../../support/git-upstream.js';
import { Fetching, filesIn } from './fetching.js';
import { isExhaustive } from '../../support/extent.js';
import { argumentsFor } from '../../support/programs.js';

const content = 'a skill, long enough to be changed in the middle of it\n'.repeat(20);

function makeSkill(): { upstream: Upstream; source: string } {
  const upstream = new Upstream();
  const sha = upstream.commit({ 'a/SKILL.md': content, 'b/SKILL.md': 'b' });
  return { upstream, source: `${upstream.url}/a@${sha}` };
}

async function fetchOnce(fetching: Fetching, source: string): Promise<unknown> {
  await using artifact = await fetching.fetch(source);
  return filesIn(artifact.path);
}

test('whatever becomes of a file of the cache, the copy is right', async () => {
  const { source } = makeSkill();
  await using fetching = await Fetching.open();
  const copy = { 'SKILL.md': content };
  const cached = (): readonly string[] =>
    readdirSync(fetching.cache, { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(fetching.cache, name))
      .filter((location) => statSync(location).isFile())
      .toSorted();
  const damages: readonly ((location: string) => void)[] = [
    (location) => {
      rmSync(location);
    },
    (location) => {
      truncateSync(location, Math.floor(statSync(location).size / 2));
    },
    (location) => {
      const bytes = readFileSync(location);
      const middle = Math.floor(bytes.length / 2);
      bytes[middle] = (bytes[middle] ?? 0) ^ 0xff;
      writeFileSync(location, bytes);
    },
  ];
  expect(await fetchOnce(fetching, source)).toEqual(copy);
  const count = cached().length;
  expect(count).toBeGreaterThan(4);
  for (const [kind, damage] of damages.entries()) {
    for (let index = 0; index < count; index += 1) {
      if (!isExhaustive && index % damages.length !== kind) continue;
      rmSync(fetching.cache, { recursive: true });
      await fetchOnce(fetching, source);
      const location = cached()[index] ?? '';
      chmodSync(location, 0o600);
      damage(location);
      expect(await fetchOnce(fetching, source), location).toEqual(copy);
    }
  }
});

test('content that somebody planted in the cache under another name is not believed', async () => {
  const { upstream, source } = makeSkill();
  await using fetching = await Fetching.open();
  await fetchOnce(fetching, source);
  const [repository = ''] = readdirSync(fetching.cache);
  const objects = path.join(fetching.cache, repository);
  const oid = upstream.git('rev-parse', 'HEAD:a/SKILL.md');
  const packs = readdirSync(path.join(objects, 'pack')).filter((name) => name.endsWith('.pack'));
  const withContent = packs.filter((name) =>
    upstream
      .git('verify-pack', '-v', path.join(objects, 'pack', name.replace(/pack$/, 'idx')))
      .includes(oid),
  );
  expect(withContent).toHaveLength(1);
  for (const ending of ['pack', 'idx', 'promisor']) {
    rmSync(path.join(objects, 'pack', (withContent[0] ?? '').replace(/pack$/, ending)));
  }
  const location = path.join(objects, oid.slice(0, 2), oid.slice(2));
  mkdirSync(path.dirname(location));
  writeFileSync(location, deflateSync('blob 4\0evil'));
  expect(await fetchOnce(fetching, source)).toEqual({ 'SKILL.md': content });
});

test('the cache may be deleted at any moment of a fetch', async () => {
  const { source } = makeSkill();
  for (let moment = 0; ; moment += isExhaustive ? 1 : 4) {
    await using fetching = await Fetching.open();
    let moments = 0;
    await using artifact = await fetching.fetch(source, {
      onProgress: () => {
        moments += 1;
        if (moments - 1 !== moment || !existsSync(fetching.cache)) return;
        // At once, as git may be writing there.
        const doomed = `${fetching.cache}.doomed`;
        renameSync(fetching.cache, doomed);
        rmSync(doomed, { recursive: true, force: true, maxRetries: 9 });
      },
    });
    expect(filesIn(artifact.path)).toEqual({ 'SKILL.md': content });
    if (moments <= moment) break;
  }
});

test('a caller whose progress callback throws gets that error, and nothing stays', async () => {
  const { source } = makeSkill();
  await using fetching = await Fetching.open();
  const fetched = fetching.fetch(source, {
    onProgress: ({ step }) => {
      if (step === 'fetch') throw new Error('full of progress');
    },
  });
  await expect(fetched).rejects.toThrow('full of progress');
  expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
});

test('fetches of several processes at once share the cache', async () => {
  const { upstream } = makeSkill();
  const texts = ['one', 'two', 'three'];
  const shas = texts.map((text) => upstream.commit({ 'a/SKILL.md': text }));
  await using fetching = await Fetching.open();
  const child = path.join(import.meta.dirname, '../../support/fetch-child.ts');
  const outcomes = await Promise.all(
    shas.map(async (sha) => {
      const source = `${upstream.url}/a@${sha}`;
      const fetcher = spawn(process.execPath, [...argumentsFor(child), fetching.home, source], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...gitEnvironment },
      });
      const [[code], copies] = await Promise.all([
        once(fetcher, 'close') as Promise<[number]>,
        Promise.all([fetchOnce(fetching, source), fetchOnce(fetching, source)]),
      ]);
      return { code, copies };
    }),
  );
  const expected = texts.map((text) => ({
    code: 0,
    copies: [{ 'SKILL.md': text }, { 'SKILL.md': text }],
  }));
  expect(outcomes).toEqual(expected);
  expect(readdirSync(fetching.cache)).toHaveLength(1);
});

test('the repositories that were used last are kept, up to 64 and no crowded one', async () => {
  const { source } = makeSkill();
  await using fetching = await Fetching.open();
  await fetchOnce(fetching, source);
  const [ours = ''] = readdirSync(fetching.cache);
  for (let index = 0; index < 70; index += 1) {
    const name = `old-${String(index).padStart(2, '0')}`;
    plant(fetching.cache, { [`${name}/pack/a.pack`]: '' });
    utimesSync(path.join(fetching.cache, name), index, index);
  }
  const crowded = Array.from({ length: 65 }, (_, index) => `new/pack/${String(index)}.pack`);
  plant(fetching.cache, Object.fromEntries(crowded.map((name) => [name, ''])));
  utimesSync(path.join(fetching.cache, ours), 0, 0);
  await fetchOnce(fetching, source);
  const kept = readdirSync(fetching.cache);
  expect(kept).toHaveLength(63);
  expect(kept).toContain(ours);
  expect(kept).toContain('old-69');
  expect(kept).not.toContain('old-07');
  expect(kept).not.toContain('new');
});
