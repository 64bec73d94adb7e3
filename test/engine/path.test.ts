import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { foldSegment, namesEngineDirectory } from '../../src/engine/path.js';

/** What a folding file system does, of every name alike. */
function isFoldedToEngineDirectory(segment: string): boolean {
  const folded = foldSegment(segment).replace(/[. ]+$/, '');
  return folded === '.SKILLMEAT' || /^SKILLM~\d+$/.test(folded);
}

const spelling = fc.constantFrom('.', ' ', '~', '1', 'ſ', 'ｓ', '\u200c', 'K', 'É', 'x', '\n');
const name = fc
  .constantFrom<string[]>('.skillmeat', '.SkillMeat', 'skillm~1', 'SKILLM~12', 'skill', '')
  .chain((base) =>
    fc
      .array(fc.tuple(fc.nat({ max: base.length }), fc.nat({ max: 1 }), spelling), { maxLength: 3 })
      .map((edits) =>
        edits.reduce(
          (text: string, [at, taken, put]) => text.slice(0, at) + put + text.slice(at + taken),
          base,
        ),
      ),
  );

test("names for the engine's directory are told as by folding each", () => {
  fc.assert(
    fc.property(name, (segment) => {
      expect(namesEngineDirectory(segment)).toBe(isFoldedToEngineDirectory(segment));
    }),
    { numRuns: 2_000 },
  );
});
