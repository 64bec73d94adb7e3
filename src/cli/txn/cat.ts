import type { Moment } from '../../engine/index.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonMoment } from '../global-options.js';
import { toJsonImage } from '../json-shapes.js';
import { openForReading } from '../open-store.js';

export interface CatFlags {
  readonly at?: Moment;
}

export async function cat(
  context: Context,
  path: string,
  { at = { kind: 'now' } }: CatFlags,
): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const { image, bytes } = await store.read(path, at);
  const file = {
    path,
    at: toJsonMoment(at),
    image: toJsonImage(image),
    base64: Buffer.from(bytes).toString('base64'),
  };
  output.answerBytes({ file }, bytes);
  return success;
}
