import { openWorkspace } from '../../src/collection/index.js';

// Has a workspace until it is killed.
const [home = '', native] = process.argv.slice(2);
const mode = native === 'off' ? 'off' : 'auto';
const workspace = await openWorkspace({ home, pid: process.pid, native: mode });
process.stdout.write(`${workspace.path}\n`);
process.stdin.resume();
