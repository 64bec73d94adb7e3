/** Types that can be told from what an artifact looks like. */
export type GuessedType = 'skill' | 'command' | 'agent';

/** What {@link guessType} looks at. */
export interface Appearance {
  readonly kind: 'file' | 'directory';
  /** Where it was found: a path in a repository, or a local one. */
  readonly path: string;
  /** Whether `SKILL.md` is directly in the directory. */
  readonly hasSkillFile: boolean;
}

const typesByDirectory: Readonly<Record<string, GuessedType>> = {
  command: 'command',
  commands: 'command',
  agent: 'agent',
  agents: 'agent',
  subagents: 'agent',
};

/**
 * Guesses the type of an artifact: a directory with SKILL.md is a skill; a Markdown file is what the
 * nearest directory named `commands` or `agents` above it says. `undefined` when nothing tells.
 */
export function guessType({ kind, path, hasSkillFile }: Appearance): GuessedType | undefined {
  if (kind === 'directory') return hasSkillFile ? 'skill' : undefined;
  const names = path.split(/[\\/]/).slice(0, -1).toReversed();
  if (!/\.md$/i.test(path)) return undefined;
  const telling = names.find((name) => Object.hasOwn(typesByDirectory, name.toLowerCase()));
  return telling === undefined ? undefined : typesByDirectory[telling.toLowerCase()];
}
