import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  unlinkSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import type { FileSystem, Place } from '../../src/engine/file-system.js';
import { copyTree } from './copier.js';
import { type FileSystemCall, type FileSystemMethod, watchedFileSystem } from './faults.js';
import type { Mode } from './store.js';

/*
 * The model of a killed process: what is on disk the instant before each call that changes it. A
 * copy of the root is taken there; opening the copy is what the next process would find. One run
 * gives every point at which it could have been killed, also in the middle of what plain Node
 * has to do in several steps.
 */

/** A root as a process killed at this point would leave it. */
interface CrashPoint {
  /** Which call was about to be made, for messages. */
  readonly label: string;
  /** Absolute path of the copy. */
  readonly root: string;
}

const changing: ReadonlySet<FileSystemMethod> = new Set<FileSystemMethod>([
  'barrier',
  'cloneFile',
  'createFile',
  'exchange',
  'keepExtendedAttributes',
  'makeDirectory',
  'makeLink',
  'moveNew',
  'moveOwn',
  'removeDirectory',
  'removeFile',
  'setMode',
  'setModeOf',
  'setOwner',
  'write',
  'writeRecord',
  'writeSync',
]);

export interface CrashRecorder {
  /** Give this to the store that shall be killed. */
  readonly files: FileSystem;
  readonly points: readonly CrashPoint[];
  /** @param only the calls whose label matches: each point costs a copy. */
  start(only?: RegExp): void;
  stop(): void;
}

/**
 * @param root the root that the store works in.
 * @param directory where the copies go.
 * @param before asked before each call; throw there to make the call fail.
 */
export function recordCrashes(
  mode: Mode,
  root: string,
  directory: string,
  before: (call: FileSystemCall) => void = () => undefined,
): CrashRecorder {
  mkdirSync(directory, { recursive: true });
  const points: CrashPoint[] = [];
  let wanted: RegExp | undefined;
  const copy = (label: string): string => {
    const at = join(directory, String(points.length));
    copyTree(root, at);
    points.push({ label: `${String(points.length)} ${label}`, root: at });
    return at;
  };
  const files = watchedFileSystem(mode, (call, real) => {
    before(call);
    if (wanted === undefined || !changing.has(call.method)) return;
    const places = call.values.filter(isPlace).map((place) => real.pathOf(place));
    const label = `${call.method}(${places.map((path) => relative(root, path)).join(', ')})`;
    if (!wanted.test(label)) return;
    copy(label);
    if (real.capabilities.native !== 'off') return;
    const [from, to] = places;
    for (const [name, step] of partsOf(call.method)) {
      const at = copy(`${label}: ${name}`);
      if (from === undefined || to === undefined) throw new Error('a rename has two places');
      if (!step(join(at, relative(root, from)), join(at, relative(root, to)))) {
        points.pop();
        rmSync(at, { recursive: true });
      }
    }
  });
  return {
    files,
    points,
    start: (only = /^/) => {
      wanted = only;
    },
    stop: () => {
      wanted = undefined;
    },
  };
}

type Step = (ours: string, theirs: string) => boolean;

/** What `NodeFileSystem` leaves when it is killed within an emulated call. */
function partsOf(method: FileSystemMethod): readonly (readonly [string, Step])[] {
  const link: Step = (from, to) => {
    if (!existsAt(from) || lstatSync(from).isDirectory() || existsAt(to)) return false;
    linkSync(from, to);
    return true;
  };
  const displace: Step = (ours, theirs) => {
    if (!existsAt(ours) || !existsAt(theirs)) return false;
    renameSync(theirs, `${ours}.displaced`);
    return true;
  };
  if (method === 'moveNew') return [['linked', link]];
  if (method !== 'exchange') return [];
  return [
    ['displaced', displace],
    ['displaced, linked', (ours, theirs) => displace(ours, theirs) && link(ours, theirs)],
    [
      'displaced, moved',
      (ours, theirs) => {
        if (!displace(ours, theirs)) return false;
        if (link(ours, theirs)) unlinkSync(ours);
        else renameSync(ours, theirs);
        return true;
      },
    ],
  ];
}

function existsAt(path: string): boolean {
  return existsSync(path) || lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isPlace(value: unknown): value is Place {
  return typeof value === 'object' && value !== null && 'directory' in value && 'name' in value;
}
