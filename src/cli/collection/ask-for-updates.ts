import { createInterface } from 'node:readline/promises';
import type {
  AvailableUpdate,
  Collection,
  Fetcher,
  OnConflict,
  UpdatePreview,
} from '../../collection/index.js';
import type { Context } from '../context.js';
import { describeDiff } from '../describe-diff.js';
import { describePreview } from '../describe-update.js';
import { paintPatch } from '../paint-patch.js';
import { printableLines } from '../printable.js';

type Answer = 'yes' | 'no' | 'all' | 'none';

const answers: Readonly<Record<string, Answer>> = {
  y: 'yes',
  yes: 'yes',
  n: 'no',
  no: 'no',
  '': 'no',
  a: 'all',
  all: 'all',
  q: 'none',
  none: 'none',
};

/**
 * Shows what an update would make of each artifact, and asks whether it shall. Without a terminal
 * nobody can be asked: all of them are taken, and `--on-conflict` says the rest.
 */
export async function askForEach(
  { output, signal }: Context,
  available: readonly AvailableUpdate[],
  {
    collection,
    fetcher,
    onConflict,
  }: {
    readonly collection: Collection;
    readonly fetcher: Fetcher;
    readonly onConflict: OnConflict;
  },
): Promise<readonly AvailableUpdate[]> {
  if (available.length === 0) return available;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    output.notice(`no terminal to ask at: as --strategy merge --on-conflict ${onConflict}`);
    return available;
  }
  const taken: AvailableUpdate[] = [];
  let rest: Answer | undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const afterQuestions = output.onBeforeQuestion();
  try {
    for (const update of available) {
      const answer = rest ?? (await showAndAsk(update));
      if (answer === 'all' || answer === 'none') rest = answer;
      if (answer === 'yes' || answer === 'all') taken.push(update);
    }
  } finally {
    terminal.close();
    afterQuestions();
  }
  return taken;

  async function showAndAsk(update: AvailableUpdate): Promise<Answer> {
    show(
      await collection.reader.previewUpdate(update, {
        fetcher,
        // Where conflicts end it all, both sides are shown.
        onConflict: onConflict === 'abort' ? 'markers' : onConflict,
        hasText: true,
      }),
    );
    const { type, name } = update.artifact;
    const question = `Update ${type}/${name}? [y]es, [n]o, [a]ll, [q]uit: `;
    for (;;) {
      const text = await terminal.question(question, { signal });
      const answer = answers[text.trim().toLowerCase()];
      if (answer !== undefined) return answer;
    }
  }

  function show({ changes, ...merged }: UpdatePreview): void {
    const patch = printableLines(describeDiff(changes, 'patch'));
    output.show(paintPatch(patch, output.errorStyle));
    const hasFiles = changes.length > 0;
    const lines = describePreview(merged, { hasFiles, aborts: onConflict === 'abort' });
    for (const line of lines) output.show(`${line}\n`);
  }
}
