// `npm start`: on a fresh clone installs, builds and shows the demo; later only builds and shows it.
import { build, ensureInstalled, run } from './setup.js';

ensureInstalled();
process.exitCode = build() || run(process.execPath, ['scripts/demo.js', ...process.argv.slice(2)]);
