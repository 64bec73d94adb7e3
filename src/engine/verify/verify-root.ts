import { findDrift } from '../drift.js';
import { describeImage } from '../image.js';
import { readKnownPaths } from '../known-path.js';
import { quote, type RelativePath } from '../path.js';
import { RootTree } from '../root-tree.js';
import { toFinding } from './finding.js';
import { type Part, uncertainTransactions } from './verifying.js';

/** Every path that the journal knows against the directory. */
export const verifyRoot: Part = async function* (verifying, wants) {
  const { journal, looking, directory, count } = verifying;
  const unsure = new Set<RelativePath>();
  for (const id of uncertainTransactions(verifying)) {
    for (const { path } of journal.changes(id)) unsure.add(path);
  }
  const { pace } = looking;
  const known = await readKnownPaths(journal, { asOf: journal.head().id, pace });
  const looked = new Map([...known].filter(([path]) => !unsure.has(path) && wants(path)));
  count('paths', looked.size);
  const failures = new Map<RelativePath, string>();
  using tree = new RootTree(looking.files, directory.root);
  for await (const { path, expected, found, transaction } of findDrift(looked, {
    looking,
    tree,
    onUnreadable: (at, { message }) => failures.set(at, message),
  })) {
    const failure = failures.get(path);
    const message = `${quote(path)} was changed by another program: the journal says ${describeImage(expected)}, found ${describeImage(found)}`;
    const finding =
      failure === undefined
        ? toFinding('drift', message, { path, transaction })
        : toFinding('path-unreadable', failure, { path, transaction });
    yield { unit: path, finding };
  }
};
