import { InvalidArgumentError } from 'commander';
import { counted } from './printable.js';

const bytesPer: Readonly<Record<string, number>> = {
  '': 1,
  k: 1_024,
  m: 1_048_576,
  g: 1_073_741_824,
};

/** Parses a number of bytes: `1000`, `500k`, `10M`, `2G`. */
export function parseSize(text: string): number {
  const match = /^(?<amount>\d{1,12})(?<unit>[kmg]?)$/i.exec(text);
  const amount = Number(match?.groups?.['amount'] ?? Number.NaN);
  const bytes = amount * (bytesPer[(match?.groups?.['unit'] ?? '').toLowerCase()] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) {
    throw new InvalidArgumentError('It must be like 500k, 10M or 2G.');
  }
  return bytes;
}

export function parseCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number from 0 on.');
}

const millisecondsPer: Readonly<Record<string, number>> = {
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** Parses how hard to compress: `off`, or `0` to `11`. */
export function parseCompression(text: string): number | 'off' {
  if (text === 'off') return text;
  if (/^(\d|1[01])$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected off, or a whole number from 0 to 11.');
}

/** Returns an age for people: `30 days`, `36 hours`. */
export function ageOf(milliseconds: number): string {
  const hours = milliseconds / 3_600_000;
  return hours % 24 === 0 ? counted(hours / 24, 'day') : counted(hours, 'hour');
}

/** Parses an age into milliseconds: `12h`, `30d`, `8w`. */
export function parseAge(text: string): number {
  const match = /^(?<amount>\d{1,6})(?<unit>[hdw])$/.exec(text);
  const unit = millisecondsPer[match?.groups?.['unit'] ?? ''];
  if (unit !== undefined) return Number(match?.groups?.['amount']) * unit;
  throw new InvalidArgumentError('It must be like 12h, 30d or 8w.');
}
