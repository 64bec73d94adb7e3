import { fetchSource, openWorkspace, parseSource } from '../../src/collection/index.js';

// Fetches once into a home, says where the copy is, and leaves.
const [home = '', text = ''] = process.argv.slice(2);
const source = parseSource(text, { workingDirectory: '/nowhere', userHome: '/nowhere' });
await using workspace = await openWorkspace({ home, pid: process.pid });
process.stdout.write(`${workspace.path}\n`);
await using artifact = await fetchSource(source, {
  cache: `${home}/cache/git`,
  workspace,
  environment: process.env,
  now: Date.now,
});
process.stdout.write(`${artifact.resolvedSha ?? ''}\n`);
