import { checksumReady } from '../../src/engine/hash.js';

// Some tests open a journal without a store, which would have waited for it.
await checksumReady;
