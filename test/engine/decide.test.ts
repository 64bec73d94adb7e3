import { describe, expect, test } from 'vitest';
import { decide, type Evidence, type Hop } from '../../src/engine/decide.js';
import {
  absent,
  type FoundImage,
  type Image,
  isSameImage,
  special,
} from '../../src/engine/image.js';
import { hashContent } from '../../src/engine/hash.js';

function fileImage(content: string, mode = 0o644): Image {
  return { kind: 'file', sha256: hashContent(content), size: content.length, mode };
}

const a = fileImage('a');
const b = fileImage('b');
const aExecutable = fileImage('a', 0o755);
const unknownFile = fileImage('nobody knows');
const directory: Image = { kind: 'directory', mode: 0o755 };
const link: Image = { kind: 'symlink', target: 'x' };
const unknownLink: Image = { kind: 'symlink', target: 'elsewhere' };

const images: readonly Image[] = [absent, a, b, aExecutable, directory, link];
const founds: readonly FoundImage[] = [...images, unknownFile, unknownLink, special];
const evidences: readonly Evidence[] = ['pending', 'done', 'lost', 'none'];

function* hopsOf(length: number, from: readonly Image[]): Generator<readonly Hop[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const start of from) {
    for (const to of images) {
      for (const evidence of evidences) {
        // Each hop starts where the one before it ends.
        for (const rest of hopsOf(length - 1, [to])) yield [{ from: start, to, evidence }, ...rest];
      }
    }
  }
}

/** Where an image is that somebody could put in place. */
function slotsWith(image: Image, hops: readonly Hop[]): readonly number[] {
  return hops.flatMap(({ from, to, evidence }, i) => {
    const held = evidence === 'pending' ? to : evidence === 'done' ? from : undefined;
    return held !== undefined && isSameImage(held, image) ? [i] : [];
  });
}

describe.each([1, 2])('over all inputs of %i hops', (length) => {
  test('each has one decision, and no decision breaks a promise', () => {
    let count = 0;
    for (const hops of hopsOf(length, images)) {
      for (const found of founds) {
        count += 1;
        const broken = brokenPromise(found, hops);
        if (broken !== undefined) {
          throw new Error(`${broken}: ${JSON.stringify({ found, hops, ...decide(found, hops) })}`);
        }
      }
    }
    expect(count).toBe(founds.length * images.length ** (length + 1) * evidences.length ** length);
  });
});

function brokenPromise(found: FoundImage, hops: readonly Hop[]): string | undefined {
  const decision = decide(found, hops);
  const target = hops.at(-1)?.to ?? absent;
  const isTarget = isSameImage(found, target);
  const isKnown = hops.some(({ from, to }) => isSameImage(found, from) || isSameImage(found, to));
  if ((decision.do === 'nothing') !== isTarget) return '"nothing" iff the target is there';
  const again = decide(found, hops);
  if (JSON.stringify(again) !== JSON.stringify(decision)) return 'the same input, the same answer';
  switch (decision.do) {
    case 'nothing':
      return undefined;
    case 'advance': {
      if (!isKnown) return 'I3: unknown bytes are never replaced';
      const first = hops[decision.from];
      if (first === undefined) return 'there is something to advance';
      if (!isSameImage(first.from, found)) return 'advance starts at what was found';
      const rest = hops.slice(decision.from);
      const canBe = rest.every(({ evidence }) => evidence === 'pending' || evidence === 'none');
      return canBe ? undefined : 'every hop that is left can be done';
    }
    case 'place': {
      if (!isKnown) return 'I3: unknown bytes are never replaced';
      if (decision.source === undefined) {
        return target.kind === 'absent' ? undefined : 'only nothing comes from nowhere';
      }
      const isThere = slotsWith(target, hops).includes(decision.source);
      return isThere ? undefined : 'what is placed is the target';
    }
    case 'supersede': {
      if (decision.kept !== undefined) {
        const kept = hops[decision.kept];
        if (kept?.evidence !== 'pending') return 'what is kept lies in its slot';
        if (!isSameImage(kept.to, target)) return 'what is kept is the target';
      }
      const isTargetSafe =
        target.kind === 'absent' ||
        isKnown ||
        decision.kept !== undefined ||
        hops.at(-1)?.evidence !== 'pending';
      if (!isTargetSafe) return 'an after-image in its slot is kept';
      if ((decision.why === 'deleted') !== (found.kind === 'absent')) return 'deleted iff absent';
      if (found.kind === 'special' && decision.why !== 'type changed') return 'special is a type';
      return undefined;
    }
    case 'park':
      if (!isKnown) return 'unknown bytes win, whatever is lost';
      if (target.kind === 'absent') return 'nothing is never lost';
      return slotsWith(target, hops).length === 0
        ? undefined
        : 'park only if no slot has the target';
  }
}

describe('each row of the table', () => {
  const replace: Hop = { from: a, to: b, evidence: 'pending' };
  const examples: readonly (readonly [string, FoundImage, readonly Hop[], unknown])[] = [
    ['no hops: nothing', a, [], { do: 'nothing' }],
    ['the target: applied', b, [{ ...replace, evidence: 'done' }], { do: 'nothing' }],
    ['the target: changed to the same by somebody else', b, [replace], { do: 'nothing' }],
    [
      'where the done hops lead, the rest pending: advance',
      a,
      [replace],
      { do: 'advance', from: 0 },
    ],
    [
      'where the done hops lead, one done: advance from the next',
      b,
      [
        { from: a, to: b, evidence: 'done' },
        { from: b, to: link, evidence: 'pending' },
      ],
      { do: 'advance', from: 1 },
    ],
    [
      'a change of mode has no slot: the path shows how far it is',
      aExecutable,
      [
        { from: a, to: aExecutable, evidence: 'none' },
        { from: aExecutable, to: b, evidence: 'pending' },
      ],
      { do: 'advance', from: 1 },
    ],
    [
      'another image of the chain, target in a slot: place',
      a,
      [
        { from: a, to: b, evidence: 'lost' },
        { from: b, to: link, evidence: 'pending' },
      ],
      { do: 'place', source: 1 },
    ],
    [
      'another image of the chain, and the target is nothing: place nothing',
      a,
      [
        { from: a, to: b, evidence: 'lost' },
        { from: b, to: absent, evidence: 'pending' },
      ],
      { do: 'place', source: undefined },
    ],
    [
      'another image of the chain, last hop done: changed back by hand',
      a,
      [{ ...replace, evidence: 'done' }],
      { do: 'supersede', why: 'edited', kept: undefined },
    ],
    [
      'another image of the chain, target nowhere: park',
      a,
      [{ ...replace, evidence: 'lost' }],
      { do: 'park' },
    ],
    [
      'absent, never so in the chain: a foreign delete wins',
      absent,
      [replace],
      { do: 'supersede', why: 'deleted', kept: 0 },
    ],
    [
      'unknown, same type: a foreign edit wins',
      unknownFile,
      [replace],
      { do: 'supersede', why: 'edited', kept: 0 },
    ],
    [
      'unknown after it was applied: there is nothing to set aside',
      unknownFile,
      [{ ...replace, evidence: 'done' }],
      { do: 'supersede', why: 'edited', kept: undefined },
    ],
    [
      'another type: never traversed, never deleted',
      directory,
      [replace],
      { do: 'supersede', why: 'type changed', kept: 0 },
    ],
    ['a special file', special, [replace], { do: 'supersede', why: 'type changed', kept: 0 }],
    [
      'an unknown link where a link was: edited',
      unknownLink,
      [{ from: link, to: a, evidence: 'pending' }],
      { do: 'supersede', why: 'edited', kept: 0 },
    ],
  ];
  test.each(examples)('%s', (_name, found, hops, decision) => {
    expect(decide(found, hops)).toEqual(decision);
  });
});
