import { describe, expect, test } from 'vitest';
import { hashContent } from '../../src/engine/hash.js';
import { absent, type Image } from '../../src/engine/image.js';
import { decideUndo } from '../../src/engine/undo-decision.js';

function fileImage(content: string, mode: number): Image {
  return { kind: 'file', sha256: hashContent(content), size: content.length, mode };
}
const merging = { merges: true, forces: false };

describe('a merging undo', () => {
  const dir = (mode: number): Image => ({ kind: 'directory', mode });

  test('of a directory leaves the mode that only somebody else changed', () => {
    // What is undone changed nothing but what is in it.
    const state = { witness: dir(0o755), target: dir(0o755), found: dir(0o700) };
    expect(decideUndo(state, merging)).toEqual({ do: 'nothing' });
  });

  test('of a directory whose mode both changed is a conflict', () => {
    const state = { witness: dir(0o700), target: dir(0o750), found: dir(0o711) };
    expect(decideUndo(state, merging).do).toBe('conflict');
  });

  test('of a file whose mode both changed is a conflict, whatever the content', () => {
    const state = {
      witness: fileImage('x', 0o644),
      target: fileImage('x', 0o600),
      found: fileImage('x', 0o755),
    };
    expect(decideUndo(state, merging).do).toBe('conflict');
    expect(decideUndo(state, { merges: true, forces: true })).toEqual({
      do: 'set-mode',
      mode: 0o600,
      why: 'forced',
    });
  });

  test('of a file that became a directory is a conflict', () => {
    const state = { witness: fileImage('x', 0o644), target: absent, found: dir(0o755) };
    expect(decideUndo(state, merging).do).toBe('conflict');
  });
});
