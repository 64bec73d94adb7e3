import type { Style } from './style.js';

/** Sets off what a patch adds, removes, and where. */
export function paintPatch(patch: string, { added, alarming, faint, strong }: Style): string {
  return patch
    .split('\n')
    .map((line) => {
      if (line.startsWith('+++') || line.startsWith('---')) return strong(line);
      if (line.startsWith('+')) return added(line);
      if (line.startsWith('-')) return alarming(line);
      return line.startsWith('@@') ? faint(line) : line;
    })
    .join('\n');
}
