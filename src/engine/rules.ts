import { EngineError } from './errors.js';
import type { Change } from './receipt.js';
import type { ReadableView } from './transaction.js';

/** What a rule found wrong. */
export interface Violation {
  /** The rule's name, such as `C2`. */
  readonly rule: string;
  readonly message: string;
  readonly path?: string;
}

/**
 * A declared rule (I6): sees the root as it will be, and what the transaction changes; a
 * transaction for which it returns a violation cannot commit.
 */
export type Rule = (
  view: ReadableView,
  changes: readonly Change[],
) => readonly Violation[] | Promise<readonly Violation[]>;

/** @throws {EngineError} `RULE_VIOLATED`, naming every violation. */
export async function requireRules(
  rules: readonly Rule[],
  view: ReadableView,
  changes: readonly Change[],
): Promise<void> {
  const violations: Violation[] = [];
  for (const rule of rules) violations.push(...(await rule(view, changes)));
  const first = violations[0];
  if (first === undefined) return;
  const list = violations.map(({ rule, message, path }) =>
    path === undefined ? `${rule}: ${message}` : `${rule}: ${path}: ${message}`,
  );
  throw new EngineError('RULE_VIOLATED', `the result would break a rule: ${list.join('; ')}`, {
    path: first.path,
    hint: 'Change what the transaction writes so that the rules hold.',
  });
}
