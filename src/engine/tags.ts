import { EngineError } from './errors.js';
import { snapshotNameLengthMax, snapshotTagsMax } from './limits.js';

/** Returns the tags of a transaction, each once. @throws {EngineError} `TAG_INVALID`. */
export function parseTransactionTags(input: readonly string[]): readonly string[] {
  const tags = [...new Set(input)];
  if (tags.length > snapshotTagsMax) {
    throw new EngineError('TAG_INVALID', `${String(tags.length)} tags are too many`, {
      hint: `A transaction has at most ${String(snapshotTagsMax)}.`,
    });
  }
  return tags.map(parseTag);
}

/** Returns a tag as it was given. @throws {EngineError} `TAG_INVALID`. */
export function parseTag(tag: string): string {
  // It is printed behind a # in one line, and what begins with - is an option.
  if (/^[^\s\p{C}-][^\p{C}]*$/u.test(tag) && tag.length <= snapshotNameLengthMax) return tag;
  throw new EngineError('TAG_INVALID', `${JSON.stringify(tag.slice(0, 200))} is no tag`, {
    hint: `Use up to ${String(snapshotNameLengthMax)} characters that can be printed; the first is neither a space nor a dash.`,
  });
}
