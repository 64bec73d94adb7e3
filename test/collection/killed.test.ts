import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Collection, CollectionReader } from '../../src/collection/index.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { modes, type Seed, useSandbox } from '../support/store.js';

const seed: Seed = {
  'skills/canvas/SKILL.md': '# Canvas\n',
  'skills/canvas/scripts/run.sh': 'echo\n',
  'commands/review.md': 'review\n',
};

const local = {
  origin: 'local',
  upstream: undefined,
  versionSpec: undefined,
  resolvedSha: undefined,
  resolvedVersion: undefined,
  tags: [],
} as const;

const acts: Readonly<Record<string, (collection: Collection, from: string) => Promise<unknown>>> = {
  'an add that replaces': async (collection, from) =>
    collection.add([{ ...local, name: 'canvas', type: 'skill', path: 'skills/canvas', from }], {
      force: true,
    }),
  'a remove': async (collection) => collection.remove(['canvas', 'review']),
  'a rename': async (collection) => collection.rename('canvas', 'draw'),
};

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test.each(Object.entries(acts))(
    'a kill at any step of %s leaves manifest, lock and artifacts of one moment',
    async (name, act) => {
      sandbox.seed(seed);
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const source = join(sandbox.directory, 'source');
      const store = await sandbox.open({ fileSystem: recorder.files });
      const collection = new Collection(store);
      await collection.importArtifacts({ name: 'c' });
      await store.transact({}, async (tx) => {
        await tx.write('outside', 'x');
      });
      const { mkdirSync, writeFileSync } = await import('node:fs');
      mkdirSync(source);
      writeFileSync(join(source, 'SKILL.md'), 'new\n');
      recorder.start();
      await act(collection, source);
      recorder.stop();
      await store.close();

      const violations: string[] = [];
      const seen = new Set<string>();
      for (const { label, root } of recorder.points) {
        const opened = await sandbox.openAt(root, { adopt: true });
        const reader = new CollectionReader(root);
        if ((await reader.findings()).length > 0) violations.push(label);
        const files = await reader.files();
        seen.add(files.manifest.text);
        await opened.close();
      }
      testify({
        fault: 'killed at a call',
        operation: `${name} of artifacts`,
        on: testMachine,
        native: mode,
        states: recorder.points.length,
        violations: violations.length,
      });
      expect(violations).toEqual([]);
      expect(seen.size, 'killed both before and after the commit').toBe(2);
    },
  );
});
