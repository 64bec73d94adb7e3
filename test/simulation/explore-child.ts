import { checksumReady } from '../../src/engine/hash.js';
import type { Exploration } from './exploration.js';
import { explorePart } from './part.js';

await checksumReady;
process.send?.(await explorePart(JSON.parse(process.argv[2] ?? '') as Exploration));
