import { NodeFileSystem } from '../../../src/engine/node-file-system.js';

/** Before the cut or the fault the machine ran in another boot than after it. */
export class EarlierBoot extends NodeFileSystem {
  override bootId(): string {
    return 'an earlier one';
  }
}
