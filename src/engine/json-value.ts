/** Reads JSON that must be an object or array; `undefined`: it is neither, or no JSON. */
export function parseObject(text: unknown): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(String(text));
  } catch {
    return undefined;
  }
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

/** Tells whether a value is a whole number, `least` or above. */
export function isNumberFrom(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}
