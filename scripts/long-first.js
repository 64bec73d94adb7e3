// The order of test files for vitest.
import { BaseSequencer } from 'vitest/node';

/** The longest files, then folders with long ones. */
const longest = [
  '/crash-states.test.ts',
  '/history-killed.test.ts',
  '/killed-at-every-call.test.ts',
  '/test/property/',
  '/test/crash/',
];

/** Begins with the longest files: what starts last should not be what the others then wait for. */
export class LongFirst extends BaseSequencer {
  /** @override @param {import('vitest/node').TestSpecification[]} files */
  async sort(files) {
    // oxlint-disable-next-line unicorn/no-array-sort -- no array's
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => rank(one.moduleId) - rank(other.moduleId));
  }
}

/** @param {string} file */
function rank(file) {
  const at = longest.findIndex((part) => file.includes(part));
  return at === -1 ? longest.length : at;
}
