/** How words are set off on a terminal. */
export interface Style {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly alarming: (text: string) => string;
  /** What is new in a comparison. */
  readonly added: (text: string) => string;
}

const asIs = (text: string): string => text;

/** For pipes, files, `NO_COLOR` and `--no-color`. */
export const plainStyle: Style = { strong: asIs, faint: asIs, alarming: asIs, added: asIs };

export const colorStyle: Style = {
  strong: (text) => `\u001b[1m${text}\u001b[22m`,
  faint: (text) => `\u001b[2m${text}\u001b[22m`,
  alarming: (text) => `\u001b[31m${text}\u001b[39m`,
  added: (text) => `\u001b[32m${text}\u001b[39m`,
};

/** Colours are for terminals only, and for nobody who asked for none (https://no-color.org). */
export function chooseStyle(given: {
  readonly isTerminal: boolean;
  readonly noColor: string | undefined;
  readonly allowsColor: boolean;
}): Style {
  const { isTerminal, noColor, allowsColor } = given;
  const wantsNone = noColor !== undefined && noColor !== '';
  return isTerminal && allowsColor && !wantsNone ? colorStyle : plainStyle;
}
