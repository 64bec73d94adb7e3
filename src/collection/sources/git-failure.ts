/** Why a git program failed, as far as trying again and the user are concerned. */
export type GitFailureKind =
  /** The network or the server; later it may work. */
  | 'transient'
  | 'not-found'
  | 'denied'
  | 'version-not-found'
  /** The server sends only what its branches and tags point to. */
  | 'unadvertised'
  /** It sends more than one fetch may receive. */
  | 'too-large'
  | 'other';

/** What git writes (in English: `LC_ALL=C`) and what it means; the first that fits counts. */
const meanings: readonly (readonly [GitFailureKind, RegExp])[] = [
  ['unadvertised', /unadvertised object/i],
  ['version-not-found', /not our ref|couldn't find remote ref/i],
  [
    'denied',
    /authentication failed|could not read (?:username|password)|permission denied|host key verification failed|dubious ownership|returned error: 40[13]\b|access denied|invalid credentials|transport '[^']*' not allowed/i,
  ],
  [
    'not-found',
    /repository [^\n]*not found|returned error: 4(?:04|10)\b|does not appear to be a git repository|does not exist|project not found|not valid: is this a git repository/i,
  ],
  [
    'transient',
    /returned error: (?:5\d\d|408|429)\b|could ?n[o']t resolve|couldn't connect|failed to connect|connection (?:was )?(?:refused|reset|timed out|closed)|(?:operation|connection) timed out|timed? ?out|network is (?:unreachable|down)|no route to host|temporary failure|early eof|unexpected disconnect|hung up|rpc failed|empty reply|transfer closed|gnutls|ssl_|openssl|tls |recv failure|send failure|broken pipe|unexpected eof|unable to connect/i,
  ],
];

/** Returns what `errors`, the standard error of a git program that failed, means. */
export function classifyGitFailure(errors: string): GitFailureKind {
  return meanings.find(([, pattern]) => pattern.test(errors))?.[0] ?? 'other';
}

/** A git program that failed. Never leaves this layer: the user gets a `CollectionError`. */
export class GitFailure extends Error {
  readonly kind: GitFailureKind;

  constructor(kind: GitFailureKind, message: string) {
    super(message);
    this.name = 'GitFailure';
    this.kind = kind;
  }
}

const progress = /^remote: (?:Enumerating|Counting|Compressing|Total)\b/;

/** The part of git's standard error that says what is wrong, on one line. */
export function summarise(errors: string, lengthMax: number): string {
  const all = errors.split(/[\r\n]+/).map((line) => line.trim());
  // A damaged index is complained about again and again.
  const lines = [...new Set(all)].filter((line) => !progress.test(line));
  const telling = lines.filter((line) => /^(?:fatal|error|remote|ssh)\b/i.test(line));
  const text = (telling.length > 0 ? telling : lines.filter((line) => line !== '')).join('; ');
  // A credential helper's URL, as git repeats it.
  return text.replaceAll(/\/\/[^/@\s]*:[^/@\s]*@/g, '//***@').slice(0, lengthMax);
}
