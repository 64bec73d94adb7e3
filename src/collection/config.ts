import { CollectionError } from './errors.js';
import { editTable, findSection, insertTable, lineBreakOf, writeTable } from './toml/edit-table.js';
import { layoutOf } from './toml/layout.js';
import { isTable, parseToml } from './toml/parse-toml.js';

/** The file in the home of SkillMeat that says which collection is used. */
export const configName = 'config.toml';

/** Name of the collection that is used when nothing else was said. */
export const defaultCollectionName = 'default';

const activeKey = 'active-collection';

/**
 * Returns the name of the collection in use.
 *
 * @throws {CollectionError} `TOML_INVALID`, `CONFIG_INVALID`.
 */
export function activeCollection(config: string): string {
  const { settings } = parseToml(config, configName);
  const name = isTable(settings) ? settings[activeKey] : undefined;
  if (name === undefined) return defaultCollectionName;
  if (typeof name === 'string') return parseCollectionName(name);
  throw new CollectionError('CONFIG_INVALID', `settings.${activeKey} in ${configName} is no text`, {
    path: configName,
    hint: 'Set it with: skillmeat collection use NAME',
  });
}

/** Returns the configuration with another collection in use; all else stays as it is. */
export function withActiveCollection(config: string, name: string): string {
  return layoutOf(config, configName, (text) => {
    const settings = findSection(text, ['settings']);
    if (settings !== undefined) return editTable(text, settings, { [activeKey]: name });
    return insertTable(text, writeTable('[settings]', { [activeKey]: name }, lineBreakOf(text)));
  });
}

/** Checks a name that becomes the name of a directory. @throws `COLLECTION_NAME_INVALID`. */
export function parseCollectionName(text: string): string {
  if (/^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,99}$/u.test(text) && !/[ .]$/.test(text)) {
    return text.normalize('NFC');
  }
  throw new CollectionError(
    'COLLECTION_NAME_INVALID',
    `${JSON.stringify(text)} cannot be the name of a collection`,
    { path: text, hint: 'Use at most 100 letters, digits, dashes, dots and underscores.' },
  );
}
