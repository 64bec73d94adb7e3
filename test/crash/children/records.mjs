/** What editors and transactions write: records of one length, so that one call writes one. */
export const recordBytes = 64;

/** @param {string} text */
export function recordOf(text) {
  return Buffer.from(`${text.padEnd(recordBytes - 1)}\n`);
}

/**
 * The texts of the records in a content, oldest place first.
 *
 * @param {Buffer} content
 * @returns {readonly string[]}
 */
export function recordsIn(content) {
  const count = Math.ceil(content.length / recordBytes);
  return Array.from({ length: count }, (_, i) =>
    content.toString('latin1', i * recordBytes, (i + 1) * recordBytes).trim(),
  );
}
