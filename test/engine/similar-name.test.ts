import { expect, test } from 'vitest';
import { similarName } from '../../src/engine/similar-name.js';

test.each([
  ['wirte', 'write'],
  ['wrte', 'write'],
  ['Write', 'write'],
  ['contents', 'content'],
  ['pth', 'path'],
  ['form', 'from'],
  ['content_base64', 'contentBase64'],
])('%s means %s', (name, meant) => {
  expect(similarName(name, ['path', 'write', 'content', 'contentBase64', 'from'])).toBe(meant);
});

test.each(['', 'x', 'xy', 'delete', 'writing it all'])('%j means none of the names', (name) => {
  expect(similarName(name, ['op', 'to', 'write', 'remove'])).toBeUndefined();
});

test('the closest name is chosen, the first one of several', () => {
  expect(similarName('mode', ['move', 'mode'])).toBe('mode');
  expect(similarName('modes', ['model', 'moles'])).toBe('model');
});
