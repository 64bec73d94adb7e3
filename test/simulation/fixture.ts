import fs from 'node:fs';
import path from 'node:path';
import { Journal } from '../../src/engine/journal.js';
import { type Disk, emptyDisk } from './inodes.js';
import type { JournalBytes } from './journal-disk.js';
import { Machine, type Name } from './machine.js';
import type { Profile } from './profiles.js';

/** Absolute, on the simulated disk. */
export const rootPath = '/root';
export const engineName = '.skillmeat';

/** A disk with a root, and an empty store in it, all durable. */
export interface Fixture {
  readonly disk: Disk;
  readonly journal: JournalBytes;
}

/** @param directory a real one, to make the journal in. */
export function makeFixture(profile: Profile, directory: string): Fixture {
  const machine = new Machine(profile, emptyDisk(), 0);
  const root = machine.makeDirectory({ directory: 1, name: 'root' }, 0o755);
  const d = machine.makeDirectory({ directory: root, name: 'd' }, 0o755);
  const e = machine.makeDirectory({ directory: root, name: 'e' }, 0o755);
  const write = (at: Name, text: string): void => {
    machine.setBytes(machine.makeFile(at, 0o644), Buffer.from(text));
  };
  write({ directory: d, name: 'a' }, 'first d/a');
  write({ directory: d, name: 'b' }, 'first d/b');
  write({ directory: e, name: 'a' }, 'first e/a');
  machine.makeLink({ directory: root, name: 'link' }, 'd/a');
  const store = machine.makeDirectory({ directory: root, name: engineName }, 0o700);
  for (const name of ['stage', 'quarantine']) {
    machine.makeDirectory({ directory: store, name }, 0o700);
  }
  return { disk: machine.visible, journal: makeJournal(directory, root, store) };
}

function makeJournal(directory: string, root: number, store: number): JournalBytes {
  const at = path.join(directory, 'fixture.db');
  Journal.create(at, {
    uuid: 'simulated',
    created_at: 0,
    epoch: 1,
    pruned_through: 0,
    settled_through: 0,
    root_inode: `${String(root)}/${String(store)}`,
    root_born: '0',
  });
  const database = fs.readFileSync(at);
  fs.rmSync(at);
  return { database, log: Buffer.alloc(0) };
}
