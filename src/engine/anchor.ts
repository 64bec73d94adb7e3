import { type ContentHash, parseContentHash } from './hash.js';
import { isNumberFrom, parseObject } from './json-value.js';
import { type ChainHash, emptyChain } from './transaction-row.js';

/** Where the log begins: after the transactions whose records were removed. */
export interface Anchor {
  /** Number of the last transaction that was removed, 0: none was. */
  readonly through: number;
  /** Its chain hash, which the first transaction that is left builds on. */
  readonly chain: ChainHash;
  /** How many of its and earlier rows are left, as they say what paths were then. */
  readonly rowCount: number;
  /** SHA-256 of the lines of these rows, in order. */
  readonly sha256: ContentHash;
}

/** Of no rows: what SHA-256 makes of nothing. */
const nothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as ContentHash;

/** Of a log that goes back to the first transaction. */
export const noAnchor: Anchor = { through: 0, chain: emptyChain, rowCount: 0, sha256: nothing };

/** Returns the text that the journal keeps. */
export function formatAnchor({ through, chain, rowCount, sha256 }: Anchor): string {
  return JSON.stringify({ through, chain, rowCount, sha256 });
}

/** Reads what the journal keeps; `undefined`: this program cannot have written it. */
export function parseAnchor(text: unknown): Anchor | undefined {
  const { through, chain, rowCount, sha256 } = parseObject(text) ?? {};
  const [chainHash, rowsHash] = [hashFrom(chain), hashFrom(sha256)];
  if (!isNumberFrom(through, 1) || !isNumberFrom(rowCount, 0)) return undefined;
  if (chainHash === undefined || rowsHash === undefined) return undefined;
  return { through, chain: chainHash as string as ChainHash, rowCount, sha256: rowsHash };
}

function hashFrom(value: unknown): ContentHash | undefined {
  return typeof value === 'string' ? parseContentHash(value) : undefined;
}
