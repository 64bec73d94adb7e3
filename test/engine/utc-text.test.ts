import { assert, integer, property } from 'fast-check';
import { expect, test } from 'vitest';
import { utcText } from '../../src/engine/utc-text.js';

test('writes a time as toISOString does', () => {
  const yearZero = -62_167_219_200_000;
  const times = integer({ min: yearZero, max: 253_402_300_799_999 });
  assert(
    property(times, (time) => {
      expect(utcText(time)).toBe(new Date(time).toISOString());
    }),
  );
});
