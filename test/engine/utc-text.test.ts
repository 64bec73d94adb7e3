import { assert, integer, oneof, property } from 'fast-check';
import { expect, test } from 'vitest';
import { utcText } from '../../src/engine/utc-text.js';

const yearZero = -62_167_219_200_000;
const yearTenThousand = 253_402_300_800_000;
const newest = 8_640_000_000_000_000;

test('writes a time as toISOString does', () => {
  const common = integer({ min: yearZero, max: yearTenThousand - 1 });
  const any = integer({ min: -newest, max: newest });
  assert(
    property(oneof(common, any), (time) => {
      expect(utcText(time)).toBe(new Date(time).toISOString());
    }),
  );
});

test.each([
  [yearZero - 1, '-000001-12-31T23:59:59.999Z'],
  [yearZero, '0000-01-01T00:00:00.000Z'],
  [yearTenThousand - 1, '9999-12-31T23:59:59.999Z'],
  [yearTenThousand, '+010000-01-01T00:00:00.000Z'],
])('writes %d as %s', (time, text) => {
  expect(utcText(time)).toBe(text);
});

test.each([newest + 1, Number.NaN])('refuses %d, as toISOString does', (time) => {
  expect(() => utcText(time)).toThrow(RangeError);
});
