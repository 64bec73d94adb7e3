import { CollectionError } from '../errors.js';
import { parseToml } from './parse-toml.js';
import { LayoutError } from './sections.js';

/**
 * Takes a TOML text apart or edits it, and says what is wrong with it where that fails.
 *
 * @throws {CollectionError} `TOML_INVALID`, as a real parser sees it; `TOML_LAYOUT_UNSUPPORTED` when
 * that one finds nothing.
 */
export function layoutOf<S extends string | { readonly text: string }, T>(
  source: S,
  file: string,
  work: (source: S) => T,
): T {
  try {
    return work(source);
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    const text = typeof source === 'string' ? source : source.text;
    parseToml(text, file);
    const line = text.slice(0, error.at).split('\n').length;
    throw new CollectionError(
      'TOML_LAYOUT_UNSUPPORTED',
      `${file}:${String(line)}: ${error.message}`,
      { path: file, cause: error, hint: 'Write that place as a table of its own.' },
    );
  }
}
