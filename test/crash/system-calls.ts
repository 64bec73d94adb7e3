/** A system call on a store or its root, as strace tells of it. */
export interface SystemCall {
  readonly call: string;
  /** The number of its kind in its thread, from 1. */
  readonly at: number;
  /** What it is done to: `journal.db-wal`, `stage`, `a file`, … */
  readonly on: string;
  /** Whether the transaction had been acknowledged before. */
  readonly isAcknowledged: boolean;
  /** SQLite's sync of the directory that the journal is in: it tells nobody when that fails. */
  readonly isUnheard: boolean;
}

/**
 * Lists the calls, in order, that `run-with-errors.mjs` makes between its START and its SAID.
 *
 * @param log what `strace -f -y -o` wrote.
 */
export function listSystemCalls(log: string, root: string): readonly SystemCall[] {
  const counts = new Map<string, number>();
  /** By kind of call: the most of one thread before the start. */
  const before = new Map<string, number>();
  const descriptors = new Map<string, string>();
  const ofSqlite = new Set<string>();
  const calls: SystemCall[] = [];
  let isStarted = false;
  let isAcknowledged = false;
  for (const line of log.split('\n')) {
    // "1234  rename("a", "b") = 0"; what another thread cut in two begins once only.
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) continue;
    const key = `${thread} ${call}`;
    const at = (counts.get(key) ?? 0) + 1;
    counts.set(key, at);
    if (line.includes('"SAID ')) break;
    if (!isStarted) before.set(call, Math.max(before.get(call) ?? 0, at));
    isStarted ||= line.includes('"START\\n"');
    isAcknowledged ||= line.includes('"ACK\\n"');
    const on = isStarted ? kindOfFile(withPaths(line, descriptors), root) : undefined;
    // Were there as many in another thread before, that one would be hit.
    const isFirst = at > (before.get(call) ?? 0);
    const isUnheard = call === 'fsync' && ofSqlite.has(descriptorOf(line));
    if (on !== undefined && isFirst) calls.push({ call, at, on, isAcknowledged, isUnheard });
    // Only SQLite opens it by its whole path.
    if (line.includes(`"${root}/.skillmeat", `)) ofSqlite.add(openedBy(line));
    else if (call === 'close') ofSqlite.delete(descriptorOf(line));
    for (const [, descriptor = '', path = ''] of line.matchAll(/(\d+)<([^>]*)>/g)) {
      descriptors.set(descriptor, path);
    }
  }
  return calls;
}

/** The descriptor that a call is for. */
function descriptorOf(line: string): string {
  return /\((\d+)</.exec(line)?.[1] ?? '';
}

/** The descriptor that a call returned. */
function openedBy(line: string): string {
  return /= (\d+)<[^>]*>$/.exec(line)?.[1] ?? '';
}

/** The engine names most things by the open directory that they are in. */
function withPaths(line: string, descriptors: ReadonlyMap<string, string>): string {
  return line.replaceAll(
    /\/proc\/self\/fd\/(\d+)/g,
    (text, descriptor: string) => descriptors.get(descriptor) ?? text,
  );
}

/** Which kind of file a line of strace is about; `undefined`: none of the store or the root. */
function kindOfFile(line: string, root: string): string | undefined {
  const at = line.indexOf(root);
  if (at < 0) return undefined;
  const [below = ''] = /^[^<>",]*/.exec(line.slice(at + root.length)) ?? [];
  const [, first, second] = below.split('/');
  if (first === undefined || first === '') return 'root';
  return first === '.skillmeat' ? (second ?? first) : 'a file';
}
