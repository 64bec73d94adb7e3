import type { PathConflict } from '../../engine/index.js';
import { CollectionError } from '../errors.js';
import { problemsMax } from './limits.js';

/** An artifact that must not be copied, with everything that is wrong with it. */
export function artifactRefused(shown: string, problems: readonly PathConflict[]): CollectionError {
  const [first] = problems;
  const more = problems.length > 1 ? `, and ${String(problems.length - 1)} more` : '';
  const what = first === undefined ? '' : `: ${JSON.stringify(first.path)}: ${first.why}${more}`;
  return new CollectionError('ARTIFACT_REFUSED', `the artifact ${shown} is refused${what}`, {
    path: shown,
    conflicts: problems.slice(0, problemsMax),
    hint: 'Nothing was copied. Ask its author to change this, or add a corrected copy of your own.',
  });
}
