import { describe, expect, test } from 'vitest';
import {
  type CertificateInput,
  expectedFaults,
  renderCertificate,
} from '../scripts/render-certificate.js';
import type { Evidence, NotRun } from './support/evidence.js';

const suite = { suite: 'all', passed: 7, failed: 0, skipped: 0, machine: { kernel: 'Linux 6' } };

function row(given: Partial<Evidence>): Evidence {
  return {
    fault: 'race with an editor',
    on: 'any',
    native: 'both',
    states: 1_000,
    violations: 0,
    ...given,
  };
}

/** Evidence of everything that a full run tries. */
const everything = expectedFaults.map(({ fault, on = 'ext4' }) => row({ fault, on }));
const full: CertificateInput = { evidence: [everything], notRun: [], suites: [suite] };

function firstLine({ text }: { readonly text: string }): string {
  return text.split('\n')[0] ?? '';
}

function whatRan(text: string): string {
  const [, ran = ''] = text.split('## What ran');
  return ran.split('## ')[0] ?? '';
}

describe('the certificate', () => {
  test('of a full run without a violation says so', () => {
    const certificate = renderCertificate(full);
    expect(certificate.isClean).toBe(true);
    const states = `${String(expectedFaults.length)} 000 states`;
    expect(firstLine(certificate)).toBe(`**No promise was broken in ${states}.**`);
    expect(certificate.text).toContain('Everything that a full run tries was run.');
    expect(certificate.text).toContain('| kernel | Linux 6 |');
    expect(certificate.text).toContain('macOS and Windows');
  });

  test('tells of the branches of the protocol, and that nobody looked at them', () => {
    const branches = { modules: 3, taken: 1_700, explained: 12, unexplained: 0 };
    const told = renderCertificate({ ...full, branches }).text;
    expect(told).toContain('Coverage of the 3 protocol modules');
    expect(told).toContain('1 712 branches, 12 untaken, each with a reason');
    const missed = renderCertificate({ ...full, branches: { ...branches, unexplained: 2 } }).text;
    expect(missed).toContain('1 714 branches, 14 untaken, **2 of them without a reason**');
    expect(renderCertificate(full).text).toContain('`npm run test:coverage` was not run');
  });

  test('begins with a violation, and fails', () => {
    const broken = row({ fault: 'power cut', on: 'xfs', violations: 2 });
    const certificate = renderCertificate({ ...full, evidence: [[...everything, broken]] });
    expect(certificate.isClean).toBe(false);
    expect(firstLine(certificate)).toBe('**FAILED: 2 violations by power cut on xfs.**');
    expect(certificate.text).toContain('| power cut | xfs | both | 2 000 | **2** |');
  });

  test('begins with a failed suite, and fails', () => {
    const certificate = renderCertificate({ ...full, suites: [{ ...suite, failed: 3 }] });
    expect(certificate.isClean).toBe(false);
    expect(firstLine(certificate)).toContain('FAILED: 3 tests failed in all');
  });

  test('fails when no suite said how it ended', () => {
    const certificate = renderCertificate({ ...full, suites: [] });
    expect(certificate.isClean).toBe(false);
    expect(firstLine(certificate)).toContain('FAILED: no suite said how it ended');
  });

  test('lists an expected kind of fault without evidence as not run', () => {
    const evidence = everything.filter(({ fault }) => fault !== 'corruption');
    const certificate = renderCertificate({ ...full, evidence: [evidence] });
    expect(firstLine(certificate)).toContain('1 kinds of fault were NOT RUN');
    expect(certificate.text).toContain('| corruption | any | nothing says that it ran |');
  });

  test('asks for every file system by itself', () => {
    const evidence = everything.map((one) =>
      one.fault === 'power cut' && one.on === 'btrfs' ? { ...one, on: 'btrfs2' } : one,
    );
    const certificate = renderCertificate({ ...full, evidence: [evidence] });
    expect(certificate.text).toContain('| power cut | btrfs | nothing says that it ran |');
  });

  test('takes a variant of a file system for it', () => {
    const evidence = everything.map((one) =>
      one.fault === 'power cut' ? { ...one, on: `${one.on}, commit=1` } : one,
    );
    expect(renderCertificate({ ...full, evidence: [evidence] }).text).not.toContain('nothing says');
  });

  test('gives the reason of what could not be tried, and never shows it among what ran', () => {
    const evidence = everything.filter(({ fault }) => fault !== 'power cut');
    const notRun = ['ext4', 'xfs', 'btrfs'].map(
      (on): NotRun => ({
        fault: 'power cut',
        on,
        whyNot: 'this is not root',
      }),
    );
    const { text } = renderCertificate({ ...full, evidence: [evidence], notRun });
    expect(text).toContain('| power cut | xfs | this is not root |');
    expect(whatRan(text)).not.toContain('| power cut |');
  });

  test('does not count a kind that looked at nothing as run', () => {
    const evidence = everything.map((one) =>
      one.fault === 'race with an editor' ? { ...one, states: 0 } : one,
    );
    const { text } = renderCertificate({ ...full, evidence: [evidence] });
    expect(text).toContain('| race with an editor | ext4 | it ran and looked at no state |');
    expect(whatRan(text)).not.toContain('| race with an editor |');
  });

  test('adds up what several tests tell of one kind', () => {
    const more = [
      row({ on: 'tmpfs', states: 40, note: 'a', seed: 5 }),
      row({ on: 'tmpfs', states: 2, note: 'b', seed: 5 }),
    ];
    const { text } = renderCertificate({ ...full, evidence: [[...everything, ...more]] });
    expect(text).toContain('| race with an editor | tmpfs | both | 42 | 0 | a; seed 5; b |');
  });

  test('tells how many states of a kind are of which operation', () => {
    const killed = { fault: 'killed at a call', on: 'tmpfs' } as const;
    const more = [
      row({ ...killed, operation: 'undo', states: 40 }),
      row({ ...killed, operation: 'redo', states: 1_002 }),
      row({ ...killed, operation: 'undo', states: 2, note: 'a' }),
    ];
    const again = [row({ ...killed, operation: 'undo', states: 41 })];
    const { text } = renderCertificate({ ...full, evidence: [[...everything, ...more], again] });
    expect(text).toContain(
      '| killed at a call | tmpfs | both | 1 044 | 0 | undo 42, redo 1 002; a |',
    );
  });

  test('does not add up runs: they may have looked at the same', () => {
    const again = [
      row({ on: 'tmpfs', states: 40 }),
      row({ fault: 'race with an editor', on: 'ext4' }),
    ];
    const { text } = renderCertificate({ ...full, evidence: [everything, again] });
    expect(text).toContain('| race with an editor | tmpfs | both | 40 | 0 |');
    expect(text).toContain('| race with an editor | ext4 | both | 1 000 | 0 |');
    const broken = [row({ fault: 'race with an editor', on: 'ext4', states: 1, violations: 1 })];
    const failed = renderCertificate({ ...full, evidence: [everything, broken] });
    expect(firstLine(failed)).toContain('FAILED: 1 violations by race with an editor on ext4');
  });
});
