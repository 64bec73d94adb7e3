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

/** Tells whether something is an object of known rules only, each a whole number from 0 on, or `undefined`. */
export function isRuleSet(value: unknown, known: object): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.entries(value).every(
      ([rule, given]) =>
        Object.hasOwn(known, rule) && (given === undefined || isNumberFrom(given, 0)),
    )
  );
}

/** Tells whether a value is a whole number, `least` or above. */
export function isNumberFrom(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}
