import type { DiffChange } from '../engine/index.js';
import { describeChange, describeCounts } from './describe-change.js';
import { printable } from './printable.js';

/** What `diff` tells people. */
export function describeDiff(
  changes: readonly DiffChange[],
  form: 'summary' | 'names' | 'patch',
): string {
  switch (form) {
    case 'patch':
      return changes.map(({ diff }) => diff?.text ?? '').join('');
    case 'names':
      return changes.map(({ path }) => printable(path)).join('\n');
    case 'summary':
      if (changes.length === 0) return 'No difference.';
      return [`${describeCounts(changes)}:`, ...changes.map(describeChange)].join('\n');
  }
}
