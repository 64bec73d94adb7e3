// The guards of the engine: where they are marked, and how one is switched off. See test/guards/README.md.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * How a guard is switched off: its statement goes; or the condition of its `if` is `true` or `false`; or
 * one piece of its statement becomes another.
 * @typedef {{do: 'remove'} | {do: 'decide', as: string} | {do: 'replace', piece: string, by: string}} Switch
 */
/**
 * `file` is relative to the engine, `line` counts from 1 and is that of the marker.
 * @typedef {{id: string, file: string, line: number, off: Switch}} Guard
 */
/** @typedef {{file: string, test: string}} Killer */

const marker = /^ *\/\/ guard: (?<id>[a-z][a-z0-9-]*)(?: \[(?<how>.+)\])?$/;
const almostMarker = /^.*\/\/.*\bguard:.*$/;

/**
 * @param {string} directory of the engine's sources
 * @returns {{guards: Guard[], sources: Map<string, string>}}
 */
export function readGuards(directory) {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const sources = new Map(
    names.map((name) => [name, readFileSync(path.join(directory, name), 'utf8')]),
  );
  const guards = [...sources].flatMap(([file, text]) => guardsOf(file, text));
  return { guards, sources };
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {Guard[]}
 */
export function guardsOf(file, text) {
  return text.split('\n').flatMap((line, index) => {
    if (!almostMarker.test(line)) return [];
    const { id, how } = marker.exec(line)?.groups ?? {};
    if (id === undefined) throw new Error(`${file}:${index + 1}: no marker: ${line.trim()}`);
    return [{ id, file, line: index + 1, off: parseSwitch(how) }];
  });
}

/**
 * @param {string | undefined} how
 * @returns {Switch}
 */
function parseSwitch(how) {
  if (how === undefined) return { do: 'remove' };
  const decided = /^if (true|false)$/.exec(how)?.[1];
  if (decided !== undefined) return { do: 'decide', as: decided };
  const [piece, by, ...more] = how.split(' becomes ');
  if (piece === undefined || by === undefined || more.length > 0) {
    throw new Error(`nobody knows how to switch off [${how}]`);
  }
  return { do: 'replace', piece, by };
}

/**
 * @param {Guard} guard
 * @param {string} text of its file
 * @returns {string} the file without the guard
 */
export function withoutGuard({ id, line, off }, text) {
  const lines = text.split('\n');
  let first = line;
  // Markers may stand above one another.
  while (marker.test(lines[first] ?? '')) first += 1;
  const start = lines.slice(0, first).join('\n').length + 1;
  const end = endOfStatement(text, start);
  const changed = switchOff(off, text.slice(start, end));
  if (changed === undefined) throw new Error(`${id} cannot be switched off as its marker says`);
  return text.slice(0, start) + changed + text.slice(end);
}

/**
 * @param {Switch} off
 * @param {string} statement
 * @returns {string | undefined}
 */
function switchOff(off, statement) {
  switch (off.do) {
    case 'remove':
      // The last thing that a function does may be to return it.
      return /^\s*return\b/.test(statement) ? undefined : '';
    case 'decide': {
      const open = /^\s*if \(/.exec(statement)?.[0].length;
      if (open === undefined) return undefined;
      const close = endOfStatement(statement, open);
      return statement.slice(0, open) + off.as + statement.slice(close);
    }
    case 'replace': {
      const [before, after, ...more] = statement.split(off.piece);
      if (before === undefined || after === undefined || more.length > 0) return undefined;
      return before + off.by + after;
    }
  }
}

/**
 * Where the statement, member or argument ends that begins at `start`. Relies on the formatter: a block
 * that ends a statement ends its line.
 * @param {string} text
 * @param {number} start
 */
function endOfStatement(text, start) {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const end = afterQuoted(text, at);
    if (end > at) {
      at = end;
      continue;
    }
    const character = text[at] ?? '';
    if ('([{'.includes(character)) depth += 1;
    else if (')]}'.includes(character)) {
      depth -= 1;
      if (depth < 0) return at;
      const endsLine = text[at + 1] === '\n';
      if (depth === 0 && character === '}' && endsLine) return at + 1;
    } else if (depth === 0 && (character === ';' || character === ',')) return at + 1;
  }
  return text.length;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {number} `at`, or the last character of the string or comment that begins there
 */
function afterQuoted(text, at) {
  const quoted = /^(?:\/\/.*|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)/.exec(
    text.slice(at, at + 10_000),
  )?.[0];
  return quoted === undefined ? at : at + quoted.length - 1;
}

/**
 * What is wrong between markers and killers; nothing when each guard has its killer.
 * @param {readonly Guard[]} guards
 * @param {Readonly<Record<string, Killer>>} killers
 * @returns {string[]}
 */
export function disagreements(guards, killers) {
  const counts = new Map();
  for (const { id } of guards) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [
    ...[...counts].filter(([, count]) => count > 1).map(([id]) => `${id} is marked twice`),
    ...[...counts.keys()].filter((id) => !(id in killers)).map((id) => `${id} has no killer`),
    ...Object.keys(killers)
      .filter((id) => !counts.has(id))
      .map((id) => `${id} is marked nowhere`),
  ];
}

/**
 * Calls that make something durable or check something, by a conservative pattern.
 * @type {readonly RegExp[]}
 */
const guardedCalls = [
  // Syncs.
  /\.(?:syncFileSystem(?:Now)?|syncfs(?:\.async)?|fsyncSync|fdatasyncSync)\(/,
  /\bsyncWhole\((?!descriptor)|#unsynced\.(?:sync|throwFailure)\(|\bthis\.addFile\(|\.mustReachDisk\(/,
  /#unsynced\.add\w+\(/,
  /\bawait (?:[\w.#]+\.)?#?barrier\(|#(?:changed|touched|flush|flushRecord|flushFresh)\(/,
  /^(?!export).*\bcover(?:Staged)?ByBarrier\(/,
  /synchronous = FULL/,
  // Fences.
  /#?requireFence\(|#?requireInPlace\(|#requireStillOurs\(|#advanceEpoch\(|\.requireEpoch\(/,
  /\.bumpEpoch\(|refuseLost\w+\(|#isStillThere\(/,
  // What was read is compared with the hash that it must have.
  /(?:\.digest\(\)|\bhashContent\(\w+\)|\bchecksumOf\(.+\)) [!=]==/,
];

/** Who throws one of these has found that something is not what it must be. */
const refusals = [
  'DAMAGED',
  'DRIFT_DETECTED',
  'EXPECTATION_FAILED',
  'FENCED',
  'HISTORY_DAMAGED',
  'JOURNAL_DAMAGED',
  'JOURNAL_FOREIGN',
  'SOURCE_CHANGED',
  'STORE_DETACHED',
  'STORE_REPLACED',
  'STORE_UNSAFE',
].join('|');
const refusal = new RegExp(`\\bnew EngineError\\(\\s*'(?:${refusals})'`);

/** A declaration of a function or method, an interface's included. */
const declaration =
  /^ *(?:(?:export|async|private|static|get) )*(?:function )?#?\w+\(.*(?: \{|\): .+;)$|^ *(?:export )?(?:async )?function .*\($|^ *(?:readonly )?\w+: (?:\(.*\) =>|Promise)/;

/**
 * Places that look like a sync or a check and have no marker, as `file:line: code`.
 * @param {ReadonlyMap<string, string>} sources
 * @returns {string[]}
 */
export function unmarkedCalls(sources) {
  const makers = new Set([...sources.values()].flatMap(refusalMakers));
  return [...sources].flatMap(([file, text]) => {
    const lines = text.split('\n');
    const marked = markedLines(file, text);
    return lines.flatMap((line, index) => {
      if (isComment(line) || isDeclaration(line)) return [];
      const at = index + 1;
      const isCall = guardedCalls.some((pattern) => pattern.test(line)) && !marked.has(at);
      const isRefusal =
        isThrownRefusal(lines, index, makers) && !marked.has(at) && !marked.has(decider(lines, at));
      return isCall || isRefusal ? [`${file}:${at}: ${line.trim()}`] : [];
    });
  });
}

/** @param {string} line */
function isComment(line) {
  return /^ *(?:\/\/|\*|\/\*)/.test(line);
}

/**
 * Names of the functions of a file that make a refusal for who throws it.
 * @param {string} text
 * @returns {string[]}
 */
function refusalMakers(text) {
  return text.split(/^(?=(?:export )?(?:async )?function )/m).flatMap((part) => {
    const [body = ''] = part.split(/^}/m);
    const name = /^(?:export )?function (\w+)\(/.exec(body)?.[1];
    const isMaker =
      /^\):? ?.*EngineError \{$|\): EngineError \{$/m.test(body) && refusal.test(body);
    return isMaker && name !== undefined ? [name] : [];
  });
}

/**
 * @param {readonly string[]} lines
 * @param {number} index
 * @param {ReadonlySet<string>} makers
 */
function isThrownRefusal(lines, index, makers) {
  const line = lines[index] ?? '';
  const made = /\bthrow (\w+)\(/.exec(line)?.[1];
  if (made !== undefined) return makers.has(made);
  return /\bthrow new /.test(line) && refusal.test(`${line}\n${lines[index + 1] ?? ''}`);
}

/**
 * The line of the statement that lets nothing wrong come as far as the throw at `line`: `if (isRight) return;`. What
 * is only named in between does not count.
 * @param {readonly string[]} lines
 * @param {number} line
 */
function decider(lines, line) {
  let at = line - 1;
  while (/^ *const .*;$/.test(lines[at - 1] ?? '') || isComment(lines[at - 1] ?? '')) at -= 1;
  return at;
}

/** @param {string} line */
function isDeclaration(line) {
  return !/\bawait\b|^ *(?:if|return|throw|this)\b|=> /.test(line) && declaration.test(line);
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {Set<number>} lines of all statements that are marked
 */
function markedLines(file, text) {
  const marked = new Set();
  const lines = text.split('\n');
  for (const { line } of guardsOf(file, text)) {
    let first = line;
    while (marker.test(lines[first] ?? '')) first += 1;
    const start = lines.slice(0, first).join('\n').length + 1;
    const count = text.slice(start, endOfStatement(text, start)).split('\n').length;
    for (let at = first + 1; at <= first + count; at += 1) marked.add(at);
  }
  return marked;
}
