import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Branches, Evidence, NotRun } from '../test/support/evidence.js';
import { runCovered } from './coverage.js';
import {
  type Certificate,
  type CertificateInput,
  renderCertificate,
  type SuiteOutcome,
} from './render-certificate.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled, root, run } from './setup.js';

/*
 * `npm run certificate`: runs every suite and writes docs/certificate.md.
 *
 * --from DIR  renders what an earlier run with SKILLMEAT_EVIDENCE=DIR left; nothing is run.
 * --to FILE   instead of docs/certificate.md.
 */

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    to: { type: 'string', default: path.join(root, 'docs/certificate.md') },
  },
});
const { text, isClean } = values.from === undefined ? certifyRun() : certify(values.from);
fs.mkdirSync(path.dirname(values.to), { recursive: true });
fs.writeFileSync(values.to, text);
process.exitCode = isClean ? 0 : 1;

function certifyRun(): Certificate {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'skillmeat-evidence-'));
  try {
    process.env['SKILLMEAT_EVIDENCE'] = directory;
    process.env['SKILLMEAT_STATES'] ??= '500000';
    process.env['SKILLMEAT_THOROUGH'] ??= '1';
    process.env['SKILLMEAT_STATES_PROCESSES'] ??= String(os.availableParallelism());
    ensureInstalled();
    if (build() !== 0) throw new Error('the build failed');
    runCovered();
    if (process.getuid?.() === 0) runVitest('vitest.root.config.ts');
    run(process.execPath, ['scripts/test-guards.js']);
    return certify(directory);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function certify(directory: string): Certificate {
  return renderCertificate(readEvidence(directory));
}

function readEvidence(directory: string): CertificateInput {
  const runs = new Map<string, Evidence[]>();
  const notRun: NotRun[] = [];
  const suites: SuiteOutcome[] = [];
  let branches: Branches | undefined;
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const evidence = runs.get(entry.parentPath) ?? [];
    runs.set(entry.parentPath, evidence);
    const lines = fs.readFileSync(path.join(entry.parentPath, entry.name), 'utf8').split('\n');
    for (const line of lines.filter((one) => one !== '')) {
      const row = JSON.parse(line) as Evidence | NotRun | SuiteOutcome | Branches;
      if ('suite' in row) suites.push(row);
      else if ('modules' in row) branches = row;
      else if ('whyNot' in row) notRun.push(row);
      else evidence.push(row);
    }
  }
  return { evidence: [...runs.values()], notRun, suites, branches };
}
