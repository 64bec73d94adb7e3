import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type ArtifactKey,
  Collection,
  CollectionReader,
  openFetcher,
  parseSource,
} from '../../../src/collection/index.js';
import { recordCrashes } from '../../support/crash.js';
import { testify, testMachine } from '../../support/evidence.js';
import { names, systemError } from '../../support/faults.js';
import { gitEnvironment, Upstream } from '../../support/git-upstream.js';
import { modes, type Sandbox, useSandbox } from '../../support/store.js';
import { sampled } from '../../support/extent.js';

const key: ArtifactKey = 'canvas::skill';
const files = { 'canvas/SKILL.md': 'one\ntwo\nthree\n', 'canvas/sub/run.sh': 'echo\n' };

/** A collection with an edited skill that upstream has something newer of. */
async function outdated(sandbox: Sandbox, collection: Collection) {
  const upstream = new Upstream();
  upstream.commit(files);
  await collection.init('c');
  const home = join(sandbox.directory, 'home');
  const fetcher = await openFetcher({
    home,
    cache: join(home, 'cache'),
    pid: process.pid,
    environment: gitEnvironment,
    now: Date.now,
  });
  const source = parseSource(`${upstream.url}//canvas`, { workingDirectory: '/', userHome: '/' });
  const fetched = await fetcher.fetch(source);
  const { path: from, origin, versionSpec, resolvedSha, resolvedVersion } = fetched;
  const facts = {
    origin,
    upstream: fetched.upstream,
    versionSpec,
    resolvedSha,
    resolvedVersion,
    tags: [],
  };
  await collection.add([{ ...facts, name: 'canvas', type: 'skill', path: 'skills/canvas', from }]);
  writeFileSync(sandbox.at('skills/canvas/SKILL.md'), 'one\ntwo\nTHREE\n');
  upstream.commit({ ...files, 'canvas/SKILL.md': 'ONE\ntwo\nthree\n', 'canvas/new.md': 'n' });
  const looks = await collection.lookForUpdates([key], fetcher);
  const updates = looks.flatMap((look) => (look.kind === 'available' ? [look.update] : []));
  return { fetcher, updates };
}

const before = 'one\ntwo\nTHREE\n';
const after = 'ONE\ntwo\nTHREE\n';

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test('a kill at any step of an update leaves artifact, manifest and lock of one version', async () => {
    mkdirSync(sandbox.root, { recursive: true });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    const collection = new Collection(store);
    const { updates, ...made } = await outdated(sandbox, collection);
    await using fetcher = made.fetcher;
    const manifestBefore = readFileSync(sandbox.at('collection.toml'), 'utf8');
    recorder.start();
    await collection.update(updates, { fetcher });
    recorder.stop();
    await store.close();

    const violations: string[] = [];
    const outcomes = new Set<boolean>();
    const looked = sampled(recorder.points, 8);
    for (const { label, root } of looked) {
      const opened = await sandbox.openAt(root, { adopt: true });
      const reader = new CollectionReader(root);
      const { artifacts, findings } = await reader.status();
      const isDone = readFileSync(join(root, 'collection.toml'), 'utf8') !== manifestBefore;
      outcomes.add(isDone);
      const text = readFileSync(join(root, 'skills/canvas/SKILL.md'), 'utf8');
      const isRight = findings.length === 0 && artifacts[0]?.state === 'modified';
      if (!isRight || text !== (isDone ? after : before)) violations.push(label);
      await opened.close();
    }
    testify({
      fault: 'killed at a call',
      operation: 'an update of artifacts',
      on: testMachine,
      native: mode,
      states: looked.length,
      violations: violations.length,
    });
    expect(violations).toEqual([]);
    expect(outcomes, 'killed both before and after the commit').toEqual(new Set([false, true]));
  });

  test.each([
    ['the artifact', 'canvas'],
    ['the manifest', 'collection.toml'],
    ['the lock', 'collection.lock'],
  ])(
    '%s cannot be written: rolled back, again and again, and then it succeeds',
    async (_, name) => {
      mkdirSync(sandbox.root, { recursive: true });
      let failures = 0;
      const recorder = recordCrashes(
        mode,
        sandbox.root,
        join(sandbox.directory, 'never'),
        (call) => {
          const isSwitch = call.method === 'exchange' || call.method === 'moveNew';
          if (failures > 0 && isSwitch && names(call, name)) {
            failures -= 1;
            throw systemError('EACCES');
          }
        },
      );
      const store = await sandbox.open({ fileSystem: recorder.files });
      const collection = new Collection(store);
      const { updates, ...made } = await outdated(sandbox, collection);
      await using fetcher = made.fetcher;
      const paths = ['collection.toml', 'collection.lock', 'skills/canvas/SKILL.md'];
      const read = (): readonly string[] => paths.map((at) => readFileSync(sandbox.at(at), 'utf8'));
      const old = read();
      for (let tries = 0; tries < 3; tries += 1) {
        failures = 1;
        await expect(collection.update(updates, { fetcher })).rejects.toMatchObject({
          code: 'PERMISSION_DENIED',
        });
        expect(failures, 'it did fail there').toBe(0);
        expect(read()).toEqual(old);
      }
      await collection.update(updates, { fetcher });
      expect(read()[2]).toBe(after);
    },
  );
});
