import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * Programs that tests start as processes of their own. `npm run build` makes one file of each
 * (scripts/setup.js), which loads in a third of the time.
 */

const tests = fileURLToPath(new URL('..', import.meta.url));
const root = path.dirname(path.join(tests, '.'));
const bundles = path.join(root, '.cache/test-programs');
/** What the programs are made of. `dist/bin` is built last, of all of `dist`. */
const parts = ['src', 'dist/bin', 'test/crash/children', 'test/simulation', 'test/support'];

/**
 * Returns what to give Node to run `script`, a file below `test`: its bundle, or itself when
 * anything was changed since that was made.
 */
export function argumentsFor(script: string): readonly string[] {
  const { dir, name } = path.parse(path.relative(tests, script));
  const bundle = path.join(bundles, dir, `${name}.mjs`);
  if (timeOf(bundle) > newestPart()) return [bundle];
  return script.endsWith('.ts') ? ['--import', 'tsx', script] : [script];
}

let newestMs: number | undefined;

function newestPart(): number {
  newestMs ??= Math.max(
    ...parts.flatMap((part) =>
      fs
        .readdirSync(path.join(root, part), { recursive: true, encoding: 'utf8' })
        .map((file) => timeOf(path.join(root, part, file))),
    ),
  );
  return newestMs;
}

/** When a file was last written, 0 when there is none. */
function timeOf(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
