/** What SQLite may hold in a column; `?`: or NULL. Whole numbers are read with 64 bits. */
export type ColumnType = 'text' | 'text?' | 'integer' | 'integer?' | 'blob' | 'blob?';

/**
 * Tells whether a row just read has the types of its table. `STRICT` looks when a row is written; one
 * flipped bit of a row on disk makes a number of a text.
 */
export function hasColumnTypes<Row extends object>(
  row: Row,
  types: Readonly<Record<keyof Row, ColumnType>>,
): boolean {
  for (const column in types) if (!isOfType(row[column], types[column])) return false;
  return true;
}

function isOfType(value: unknown, type: ColumnType): boolean {
  switch (type) {
    case 'text?':
      return value === null || typeof value === 'string';
    case 'text':
      return typeof value === 'string';
    case 'integer?':
      return value === null || typeof value === 'bigint';
    case 'integer':
      return typeof value === 'bigint';
    case 'blob?':
      return value === null || Buffer.isBuffer(value);
    case 'blob':
      return Buffer.isBuffer(value);
  }
}
