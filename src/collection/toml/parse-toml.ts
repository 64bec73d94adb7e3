import { isAscii, isUtf8 } from 'node:buffer';
import { parse, TomlError } from 'smol-toml';
import { CollectionError } from '../errors.js';

export type TomlTable = Readonly<Record<string, unknown>>;

/**
 * Returns what a TOML text says.
 *
 * @param file what to call it in messages.
 * @throws {CollectionError} `TOML_INVALID`, with line and column.
 */
export function parseToml(text: string, file: string): TomlTable {
  try {
    return parse(text, { integersAsBigInt: 'asNeeded' });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    throw tomlInvalid(
      `${file}:${String(error.line)}:${String(error.column)}: ${reason}`,
      file,
      error,
    );
  }
}

/** Decodes a file; TOML is UTF-8. @throws {CollectionError} `TOML_INVALID`. */
export function decodeToml(bytes: Uint8Array, file: string): string {
  if (!isUtf8(bytes)) throw tomlInvalid(`${file} is not UTF-8`, file);
  const { buffer, byteOffset, length } = bytes;
  // Copies ASCII instead of decoding it: half the time, in a large file.
  return Buffer.from(buffer, byteOffset, length).toString(isAscii(bytes) ? 'latin1' : 'utf8');
}

function tomlInvalid(message: string, path: string, cause?: unknown): CollectionError {
  return new CollectionError('TOML_INVALID', message, {
    path,
    cause,
    hint: 'Correct that place by hand, or see what history has instead: skillmeat repair',
  });
}

export function isTable(value: unknown): value is TomlTable {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}
