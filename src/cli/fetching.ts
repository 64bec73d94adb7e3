import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Fetcher, openFetcher, parseSource, type Source } from '../collection/index.js';
import type { Context } from './context.js';
import { homePath, workingDirectory } from './store-root.js';

/** Opens what fetches, with the cache and the workspace in the home of SkillMeat. */
export async function openFetcherForCommand({ signal, onProgress }: Context): Promise<Fetcher> {
  const home = homePath();
  return openFetcher({
    home,
    cache: join(home, 'cache', 'git'),
    pid: process.pid,
    environment: process.env,
    now: Date.now,
    signal,
    native: process.env['SKILLMEAT_NATIVE'] === 'off' ? 'off' : 'auto',
    onProgress: ({ message }) => {
      onProgress(message);
    },
  });
}

/** Reads a source as it was typed. @throws {CollectionError} `SOURCE_INVALID`. */
export function parseTypedSource(text: string): Source {
  return parseSource(text, { workingDirectory: workingDirectory(), userHome: homedir() });
}
