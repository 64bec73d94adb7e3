import { build } from './setup.js';

process.exitCode = build();
