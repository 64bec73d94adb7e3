const yearZero = -62_167_219_200_000;
const yearTenThousand = 253_402_300_800_000;

/**
 * A time as people and `--json` get it: `2026-11-24T09:05:03.120Z`.
 *
 * The same text as `Date.prototype.toISOString`, whose first call makes V8 look up the time zone:
 * 13 ms here, in a command that takes 60.
 *
 * @param time milliseconds since 1970.
 * @throws {RangeError} when no `Date` can hold it.
 */
export function utcText(time: number): string {
  const date = new Date(time);
  const isCommon = time >= yearZero && time < yearTenThousand;
  if (!isCommon) return date.toISOString();
  const year = padded(date.getUTCFullYear(), 4);
  const day = `${year}-${padded(date.getUTCMonth() + 1)}-${padded(date.getUTCDate())}`;
  const minute = `${padded(date.getUTCHours())}:${padded(date.getUTCMinutes())}`;
  const second = `${padded(date.getUTCSeconds())}.${padded(date.getUTCMilliseconds(), 3)}`;
  return `${day}T${minute}:${second}Z`;
}

function padded(value: number, width = 2): string {
  return String(value).padStart(width, '0');
}
