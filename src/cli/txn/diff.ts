import type { DiffChange, Moment } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeDiff } from '../describe-diff.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonImage } from '../json-shapes.js';
import { type JsonMoment, toJsonMoment } from '../global-options.js';
import { openForReading } from '../open-store.js';

export interface DiffFlags {
  readonly from: Moment | undefined;
  readonly to: Moment | undefined;
  readonly path?: readonly string[];
  readonly patch?: boolean;
  readonly names?: boolean;
}

export async function diff(context: Context, flags: DiffFlags): Promise<ExitCode> {
  const { signal } = context;
  const { path, patch = false, names = false } = flags;
  const reading = await openForReading(context);
  await using store = reading.store;
  const { head } = await store.status();
  const { from = { kind: 'transaction', id: head }, to = { kind: 'now' } } = flags;
  const changes = await store.diff({
    from,
    to,
    text: patch,
    signal,
    ...(path !== undefined && { paths: path }),
  });
  answerDiff(context, { from: toJsonMoment(from), to: toJsonMoment(to) }, changes, {
    patch,
    names,
  });
  return success;
}

/** Prints what differs between two sides. */
export function answerDiff(
  { output }: Context,
  sides: { readonly from: JsonMoment; readonly to: JsonMoment },
  changes: readonly DiffChange[],
  { patch = false, names = false }: Pick<DiffFlags, 'patch' | 'names'>,
): void {
  const data = {
    ...sides,
    changes: changes.map((change) => ({
      path: change.path,
      before: toJsonImage(change.before),
      after: toJsonImage(change.after),
      text: change.diff?.text ?? null,
      omitted: change.diff?.omitted ?? null,
    })),
  };
  const form = patch ? 'patch' : names ? 'names' : 'summary';
  // A patch may be piped on: not a line more than it has, and every byte as it is.
  if (patch) output.answerBytes({ diff: data }, Buffer.from(describeDiff(changes, form)));
  else output.answer({ diff: data }, describeDiff(changes, form));
}
