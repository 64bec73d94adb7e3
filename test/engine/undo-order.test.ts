import { describe, expect, test } from 'vitest';
import { formatAnnotations, parseAnnotations } from '../../src/engine/annotations.js';
import { absent, type FoundImage, type Image, special } from '../../src/engine/image.js';
import { decideUndo } from '../../src/engine/undo-decision.js';
import {
  kindOf,
  nextToRedo,
  nextToUndo,
  type UndoneOrNot,
  undoOf,
} from '../../src/engine/undo-order.js';

/** A log, oldest first: `0` is a change, `n` an undo of n, `[n]` one of a part of n. */
function logOf(
  ...entries: readonly (number | readonly [number] | 'rolled back')[]
): readonly UndoneOrNot[] {
  return entries
    .map((entry, i): UndoneOrNot => {
      const id = i + 1;
      if (entry === 'rolled back') return { id, isDone: false, annotations: { undoes: i } };
      if (typeof entry !== 'number') {
        return { id, isDone: true, annotations: { undoes: entry[0], paths: ['p'] } };
      }
      return { id, isDone: true, annotations: entry === 0 ? {} : { undoes: entry } };
    })
    .toReversed();
}

const lookUpIn = (log: readonly UndoneOrNot[]) => (id: number) => log.find((one) => one.id === id);

describe('what is next', () => {
  test.each([
    ['nothing in an empty log', logOf(), undefined, undefined],
    ['the newest change', logOf(0, 0), 2, undefined],
    ['the one before what is undone', logOf(0, 0, 2), 1, 3],
    ['further back, redoing from the last undo', logOf(0, 0, 2, 1), undefined, 4],
    ['what was redone', logOf(0, 0, 2, 3), 2, undefined],
    ['the earlier undo after a redo', logOf(0, 0, 2, 1, 4), 1, 3],
    ['the undo of a redo', logOf(0, 1, 2, 3), undefined, 4],
    ['only changes after another change', logOf(0, 0, 2, 0), 4, undefined],
    ['the rest of what was undone in part', logOf(0, [1]), 1, 2],
    ['what an undo that failed left', logOf(0, 'rolled back'), 1, undefined],
  ])('%s', (_name, log, undo, redo) => {
    expect(nextToUndo(log)?.id).toBe(undo);
    expect(nextToRedo(log, lookUpIn(log))?.id).toBe(redo);
  });

  test('the undo of a transaction is found by its number', () => {
    const log = logOf(0, 0, 1, 3, 1);
    expect(undoOf(1, log)?.id).toBe(5);
    expect(undoOf(2, log)).toBeUndefined();
    expect(undoOf(1, logOf(0, 1, 2))).toBeUndefined();
  });

  test('a journal that points forwards or in circles is no endless loop', () => {
    const log = logOf(2, 1, 3);
    expect(log.map((one) => kindOf(one, lookUpIn(log)))).toEqual(['change', 'undo', 'change']);
    nextToUndo(log);
    nextToRedo(log, lookUpIn(log));
  });
});

describe('annotations', () => {
  test('are read as they were written', () => {
    const annotations = {
      undoes: 5,
      paths: ['a/b'],
      restores: 's',
      adopts: true,
      by: 'me@desk',
      label: { verb: 'update', subjects: [{ name: 'a', was: 'b', from: '1', to: '2' }], more: 3 },
    } as const;
    expect(parseAnnotations(formatAnnotations(annotations))).toEqual(annotations);
    expect(formatAnnotations({})).toBe('{}');
  });

  test.each([
    '',
    'null',
    '[]',
    '7',
    '{"undoes":0}',
    '{"undoes":1.5}',
    '{"undoes":"1"}',
    '{"paths":["../x"]}',
    '{"paths":[1]}',
    '{"adopts":false}',
    '{"by":7}',
    '{"label":{"verb":1,"subjects":[]}}',
    '{"label":{"verb":"x"}}',
    '{"label":{"verb":"x","subjects":[{"was":"y"}]}}',
    '{"label":{"verb":"x","subjects":[{"name":"y","to":1}]}}',
    '{"label":{"verb":"x","subjects":[],"more":0}}',
    '{"later":"version"}',
  ])('%s says nothing', (text) => {
    expect(parseAnnotations(text)).toEqual({});
  });
});

describe('the decision about one path', () => {
  const file = (sha256: string, mode = 0o644): Image => ({
    kind: 'file',
    sha256: sha256 as never,
    size: 1,
    mode,
  });
  const images: readonly Image[] = [
    absent,
    file('a'),
    file('b'),
    file('a', 0o600),
    { kind: 'directory', mode: 0o755 },
    { kind: 'directory', mode: 0o700 },
    { kind: 'symlink', target: 'a' },
  ];
  const founds: readonly FoundImage[] = [...images, file('c'), file('c', 0o600), special];
  const cases = images.flatMap((witness) =>
    images.flatMap((target) => founds.map((found) => ({ witness, target, found }))),
  );

  test('over all images: only what is as it was left is ever changed without being asked', () => {
    for (const state of cases) {
      const decision = decideUndo(state, { merges: false, forces: false });
      const isTarget = JSON.stringify(state.found) === JSON.stringify(state.target);
      const isWitness = JSON.stringify(state.found) === JSON.stringify(state.witness);
      const expected =
        isTarget && state.found.kind !== 'special' ? 'nothing' : isWitness ? 'done' : 'conflict';
      const done = decision.do === 'restore' || decision.do === 'set-mode' ? 'done' : decision.do;
      expect({ ...state, done }).toEqual({ ...state, done: expected });
    }
  });

  test('over all images: force always reaches the target, but never a special file', () => {
    for (const state of cases) {
      const decision = decideUndo(state, { merges: false, forces: true });
      if (state.found.kind === 'special') expect(decision.do).toBe('conflict');
      else expect(decision.do).not.toBe('conflict');
      if (decision.do === 'restore') expect(decision.image).toEqual(state.target);
    }
  });

  test('over all images: a merge keeps what was changed since, or is a conflict', () => {
    for (const state of cases) {
      const { witness, target, found } = state;
      const decision = decideUndo(state, { merges: true, forces: false });
      const kinds = new Set([witness.kind, target.kind, found.kind]);
      const isPlain = decision.do === 'conflict' || decision.do === 'nothing';
      if (JSON.stringify(found) === JSON.stringify(witness) || isPlain) continue;
      expect(kinds.size, JSON.stringify({ state, decision })).toBe(1);
      if (decision.do !== 'restore' || found.kind !== 'file' || witness.kind !== 'file') continue;
      // A content that somebody made since is never replaced.
      expect(found.sha256, JSON.stringify({ state, decision })).toBe(witness.sha256);
    }
  });
});
