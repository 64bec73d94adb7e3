import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

/** The engine's modules, lowest row first: a module may import from its own row and from the rows above it here. */
const engineRows: readonly (readonly string[])[] = [
  [
    'errors',
    'limits',
    'path',
    'column-types',
    'hash',
    'image',
    'pace',
    'json-value',
    'annotations',
    'similar-name',
    'utc-text',
    'compression',
    'calendar',
    'retention',
    'history-policy',
    'tags',
  ],
  ['file-system', 'descriptor', 'pack-format'],
  ['statx'],
  ['packs'],
  ['native', 'sqlite', 'file-system-types', 'mount-points', 'unsynced'],
  ['extended-attributes', 'emulated-exchange'],
  ['node-file-system', 'inspect', 'remove-tree', 'pending-units', 'moved-paths'],
  ['root-tree', 'cache-file', 'racy'],
  ['file-lock'],
  ['row-text', 'journal-failure', 'unused-pages'],
  ['change-row', 'transaction-row', 'meta-table'],
  [
    'ignore-rules',
    'listing',
    'scan-cache',
    'tree-stamp',
    'hash-memory',
    'snapshot-table',
    'journal-statements',
  ],
  ['keeping', 'keeping-table', 'anchor', 'anchor-table', 'pack-table'],
  ['schema'],
  ['object-store', 'path-selection', 'scan'],
  ['capture-file', 'snapshot-tree'],
  ['lock-holder'],
  ['journal', 'writer-lock', 'quarantine'],
  ['restore-plan', 'listing-differences', 'snapshot-record', 'snapshot-sizes', 'remove-records'],
  ['collect-objects', 'prune-snapshots'],
  ['snapshot-trash', 'mark-snapshot'],
  ['restore-elsewhere'],
  ['units', 'decide', 'unflushed', 'text', 'undo-decision', 'undo-order'],
  ['packable-slots', 'pack-contents', 'write-pack'],
  ['history', 'text-merge', 'unified-diff', 'undo-choice', 'known-path', 'drift'],
  ['undo-rows', 'transaction-kind'],
  ['diff'],
  ['plan-operation', 'plan-problem', 'plan-schema', 'plan-shape', 'plan-stream', 'json-syntax'],
  ['plan-document'],
  ['staged-content'],
  ['staged-node'],
  ['path-refusals', 'source-copy'],
  ['staged-view'],
  ['plan', 'arrange', 'transaction'],
  ['apply', 'store-directory'],
  ['recovery-paths', 'set-aside'],
  ['survey-paths', 'leave-out', 'act-on-paths'],
  ['recover'],
  ['receipt', 'events', 'checkpoint'],
  ['mark-transaction'],
  ['removal-size', 'verify/finding', 'verify/verifying'],
  [
    'verify/verify-directories',
    'verify/verify-journal',
    'verify/verify-objects',
    'verify/verify-packs',
    'verify/verify-root',
    'verify/verify-stage',
  ],
  ['verify/verify'],
  ['repair/content-sources', 'repair/repairing', 'repair/find-snapshots', 'repair/salvage'],
  ['repair/rebuild'],
  ['repair/repair-objects', 'repair/repair-packs', 'repair/repair-stage'],
  ['repair/repair'],
  ['rules', 'run-operations', 'group'],
  ['writer'],
  ['take-snapshot', 'restore-in-place', 'usage'],
  ['commit'],
  ['pack-candidate'],
  ['pack-history', 'pack-lazily'],
  ['undo', 'adopt', 'prune-history'],
  ['keep-local'],
  ['undo-transaction', 'rollback', 'adopt-scanned'],
  ['snapshot-pruning'],
  ['snapshots'],
  ['store-options'],
  ['store'],
  ['open-store'],
  ['index'],
];

/** What only the named engine modules may import. */
const engineHomes: Readonly<Record<string, readonly string[]>> = {
  'node:fs': ['node-file-system', 'unsynced', 'descriptor'],
  'node:fs/promises': ['node-file-system'],
  'node:crypto': ['hash'],
  'node:zlib': ['compression'],
  micromatch: ['ignore-rules'],
  'xxhash-wasm': ['hash'],
  'better-sqlite3': ['sqlite', 'journal-statements', 'meta-table', 'snapshot-table'],
  'better-sqlite3-node20': ['sqlite'],
  koffi: ['native'],
  'smol-toml': ['plan-document'],
  diff: ['text'],
};

/** What only the named collection modules may import. */
const collectionHomes: Readonly<Record<string, readonly string[]>> = {
  'node:buffer': ['toml/parse-toml'],
  'node:fs': ['live-view', 'merge/write-tree', 'sources/disk'],
  'node:crypto': ['sources/git-objects', 'sources/git-cache'],
  'node:child_process': ['sources/git-program'],
  'node:timers/promises': ['live-view', 'sources/retry'],
  yaml: ['front-matter'],
};

const layerHomes: Readonly<Record<string, typeof engineHomes>> = {
  engine: engineHomes,
  collection: collectionHomes,
};

/** What the modules of a layer may import from outside: a layer's index, packages, and Node where `node:` is listed. */
const layerImports = {
  engine: ['node:', ...Object.keys(engineHomes), 'valibot'],
  collection: [
    'engine/index.ts',
    'node:path',
    'smol-toml',
    'valibot',
    'fast-glob',
    ...Object.keys(collectionHomes),
  ],
  cli: ['engine/index.ts', 'collection/index.ts', 'commander', 'node:'],
} as const satisfies Record<string, readonly string[]>;

/** What belongs to the command line only: these layers neither print nor look at their surroundings. */
const silentLayers: readonly string[] = ['engine', 'collection'];
const cliOnly =
  /\bprocess\.(?:env|exit|exitCode|cwd|argv|stdout|stderr)\b|\bconsole\.|\bhomedir\b|\bnode:(?:process|console)\b/g;

const vagueWords = ['utils', 'util', 'helpers', 'helper', 'manager', 'common'];

interface Module {
  /** Relative to src, as in `engine/store.ts`. */
  readonly file: string;
  readonly text: string;
}

/** Returns one sentence for each broken rule. */
function violations(modules: readonly Module[]): readonly string[] {
  return modules.flatMap((module) => [
    ...nameViolations(module),
    ...importsOf(module.text).flatMap((name) => importViolations(module.file, name)),
    ...textViolations(module),
  ]);
}

function nameViolations({ file }: Module): readonly string[] {
  const found: string[] = [];
  const layer = layerOf(file);
  if (!(layer in layerImports)) found.push(`${file} is in no layer`);
  if (!/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)+[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/.test(file)) {
    found.push(`${file} is not kebab-case`);
  }
  const vague = file.split(/[/.-]/).find((word) => vagueWords.includes(word));
  if (vague !== undefined) found.push(`${file} says "${vague}" instead of what it owns`);
  if (layer === 'engine' && rowOf(file) === -1) found.push(`${file} has no row in engineRows`);
  return found;
}

function importViolations(file: string, name: string): readonly string[] {
  if (name === computedName) return [`${file} imports a computed name`];
  const layer = layerOf(file);
  const target = name.startsWith('.') ? resolve(file, name) : name;
  const forbidden = [`${file} must not import ${target}`];

  if (name.startsWith('.') && layerOf(target) === layer) {
    // A module without a row is reported once, for its name.
    const isUpward = layer === 'engine' && rowOf(file) !== -1 && rowOf(target) > rowOf(file);
    return isUpward ? forbidden : [];
  }
  const allowed: readonly string[] = isLayer(layer) ? layerImports[layer] : [];
  if (!allowed.includes(target) && !(target.startsWith('node:') && allowed.includes('node:'))) {
    return forbidden;
  }
  const homes = layerHomes[layer]?.[target];
  return homes === undefined || homes.includes(nameInLayer(file)) ? [] : forbidden;
}

function textViolations({ file, text }: Module): readonly string[] {
  const code = withoutComments(text);
  const mentions = silentLayers.includes(layerOf(file)) ? (code.match(cliOnly) ?? []) : [];
  return [
    ...mentions.map((mention) => `${file} must not mention ${mention}`),
    ...(/^export default\b|\bas default\b/m.test(code) ? [`${file} has a default export`] : []),
  ];
}

const computedName = '<computed>';

/** Relies on the formatter: a statement starts its line, ends in a semicolon and quotes with `'`. */
function importsOf(text: string): readonly string[] {
  const code = withoutComments(text);
  const patterns = [
    /^(?:import|export)\b[^;]*?\bfrom '(?<name>[^']+)'/gm,
    /^import '(?<name>[^']+)'/gm,
    /\b(?:import|require)\(\s*(?:'(?<name>[^']+)')?/g,
  ];
  return patterns.flatMap((pattern) =>
    Array.from(code.matchAll(pattern), (match) => match.groups?.['name'] ?? computedName),
  );
}

function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*[^]*?\*\//gm, '').replaceAll(/(?<=^|\s)\/\/.*$/gm, '');
}

function resolve(file: string, name: string): string {
  return path.posix.join(path.posix.dirname(file), name).replace(/\.js$/, '.ts');
}

function layerOf(file: string): string {
  return file.split('/')[0] ?? '';
}

function isLayer(layer: string): layer is keyof typeof layerImports {
  return layer in layerImports;
}

function nameInLayer(file: string): string {
  return file.replace(/^[^/]+\//, '').replace(/\.ts$/, '');
}

function rowOf(file: string): number {
  return engineRows.findIndex((row) => row.includes(nameInLayer(file)));
}

const source = path.join(import.meta.dirname, '..', 'src');

function readModules(): readonly Module[] {
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((location) => ({
      file: path.relative(source, location).split(path.sep).join('/'),
      text: readFileSync(location, 'utf8'),
    }));
}

test('every module of src keeps to the layers', () => {
  expect(violations(readModules())).toEqual([]);
});

test('modules that keep to the layers are accepted', () => {
  const modules = [
    { file: 'engine/errors.ts', text: 'export class EngineError extends Error {}\n' },
    { file: 'engine/meta-table.ts', text: "import Database from 'better-sqlite3';\n" },
    {
      file: 'engine/store.ts',
      text: "// Never process.exit.\nimport { a } from './journal.js';\n",
    },
    { file: 'engine/index.ts', text: "export { Store } from './store.js';\n" },
    { file: 'collection/index.ts', text: "import { Store } from '../engine/index.js';\n" },
    { file: 'cli/main.ts', text: "import { Command } from 'commander';\nconsole.log(1);\n" },
  ];
  expect(violations(modules)).toEqual([]);
});

test.each([
  ['engine/journal.ts', "import { Store } from './store.js';", 'import engine/store.ts'],
  ['engine/journal.ts', "import type { Store } from './store.js';", 'import engine/store.ts'],
  ['engine/journal.ts', "import {\n  a,\n} from './store.js';", 'import engine/store.ts'],
  ['engine/journal.ts', "export * from './store.js';", 'import engine/store.ts'],
  ['engine/journal.ts', "const a = await import('./store.js');", 'import engine/store.ts'],
  ['engine/journal.ts', "import '../cli/main.js';", 'import cli/main.ts'],
  ['engine/store.ts', "import Database from 'better-sqlite3';", 'import better-sqlite3'],
  ['engine/store.ts', "import { readFileSync } from 'node:fs';", 'import node:fs'],
  ['engine/store.ts', "import { open } from 'node:fs/promises';", 'import node:fs/promises'],
  ['engine/store.ts', "import { Command } from 'commander';", 'import commander'],
  ['engine/index.ts', "import koffi from 'koffi';", 'import koffi'],
  ['engine/store.ts', "import zlib from 'node:zlib';", 'import node:zlib'],
  ['engine/scan.ts', "const a = require('micromatch');", 'import micromatch'],
  ['engine/plan.ts', "import { createHash } from 'node:crypto';", 'import node:crypto'],
  ['collection/index.ts', "import { Journal } from '../engine/journal.js';", 'engine/journal.ts'],
  ['collection/index.ts', "import Database from 'better-sqlite3';", 'import better-sqlite3'],
  ['collection/index.ts', "import { readFileSync } from 'node:fs';", 'import node:fs'],
  ['collection/index.ts', "import { spawn } from 'node:child_process';", 'node:child_process'],
  ['collection/index.ts', "import os from 'node:os';", 'import node:os'],
  ['cli/main.ts', "import { a } from '../engine/store.js';", 'import engine/store.ts'],
  ['cli/main.ts', "import { parse } from 'smol-toml';", 'import smol-toml'],
  ['cli/main.ts', 'const a = await import(name);', 'computed name'],
  ['engine/store.ts', 'const home = process.env.HOME;', 'mention process.env'],
  ['engine/store.ts', 'process.exit(1);', 'mention process.exit'],
  ['engine/store.ts', 'const here = process.cwd();', 'mention process.cwd'],
  ['engine/store.ts', "console.log('hello');", 'mention console.'],
  ['collection/index.ts', 'const home = os.homedir();', 'mention homedir'],
  ['engine/store.ts', 'export default 1;', 'default export'],
  ['engine/novelty.ts', '', 'no row'],
  ['engine/Store.ts', '', 'kebab-case'],
  ['collection/lock-utils.ts', '', '"utils"'],
  ['web/index.ts', '', 'no layer'],
])('%s with `%s` is refused', (file, text, reason) => {
  expect(violations([{ file, text }]).join('\n')).toContain(reason);
});
