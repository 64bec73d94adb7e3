import {
  array,
  boolean,
  check,
  description,
  type GenericSchema,
  type InferInput,
  literal,
  metadata,
  optional,
  pipe,
  record,
  regex,
  strictObject,
  string,
  unknown,
  variant,
} from 'valibot';

// A schema's message says what is expected: "operations[3].mode: expected <message>, found 8".

/** What stands before the operations: in JSON Lines, the first line. */
export interface PlanHeader {
  readonly version: 1;
  readonly message?: string | undefined;
  /** From path to `absent`, `directory`, `sha256:<64 hex digits>` or `symlink:<target>`. */
  readonly expect?: Readonly<Record<string, string>> | undefined;
}

/** A plan in format version 1, as it stands in a file; docs/plan-format.md explains each field. */
export interface PlanDocument extends PlanHeader {
  readonly operations: readonly PlanOperationDocument[];
}

/** One operation of a {@link PlanDocument}. */
export type PlanOperationDocument = OperationDocuments[keyof OperationDocuments];

/** The shapes of an operation: one for each `op`, and for `write` one for each source of content. */
export interface OperationDocuments {
  readonly writeContent: WriteDocument & { readonly content: string };
  readonly writeContentBase64: WriteDocument & { readonly contentBase64: string };
  readonly writeFrom: WriteDocument & { readonly from: string };
  readonly copy: { readonly op: 'copy'; readonly path: string; readonly from: string };
  readonly remove: {
    readonly op: 'remove';
    readonly path: string;
    readonly ifPresent?: boolean | undefined;
  };
  readonly rename: {
    readonly op: 'rename';
    readonly from: string;
    readonly to: string;
    readonly replace?: boolean | undefined;
  };
  readonly mkdir: {
    readonly op: 'mkdir';
    readonly path: string;
    readonly mode?: string | undefined;
  };
  readonly chmod: { readonly op: 'chmod'; readonly path: string; readonly mode: string };
  readonly symlink: { readonly op: 'symlink'; readonly path: string; readonly target: string };
}

interface WriteDocument {
  readonly op: 'write';
  readonly path: string;
  /** Octal permission bits: `0644`. */
  readonly mode?: string | undefined;
}

/** A schema of an object with a fixed set of keys. */
export type Shape<T> = GenericSchema<T, T> & {
  readonly entries: Readonly<Record<string, GenericSchema>>;
};

const path = pipe(
  string('a path in a string'),
  metadata({ description: 'Relative to the root, with / between names.', minLength: 1 }),
);

const wellFormed = check((text: string) => text.isWellFormed(), 'text that is valid Unicode');

function systemText(what: string, about: string) {
  return pipe(
    string(`${what} in a string`),
    // eslint-disable-next-line no-control-regex
    regex(/^[^\u0000]+$/, `${what}, neither empty nor with a NUL character`),
    wellFormed,
    description(about),
  );
}

function permissionBits(pattern: RegExp, what: string) {
  const wanted = what.replace(/^O/, 'o');
  return pipe(string(`${wanted}, in a string`), regex(pattern, wanted), description(`${what}.`));
}

const fileMode = permissionBits(
  /^0?[4-7][0-7]{2}$/,
  'Octal permission bits that let the owner read, such as 0644',
);
const directoryMode = permissionBits(
  /^0?7[0-7]{2}$/,
  'Octal permission bits that let the owner do everything, such as 0755',
);
const anyMode = permissionBits(/^0?[0-7]{3}$/, 'Octal permission bits, such as 0644');

const source = systemText(
  'a path',
  'Outside the root; a relative path starts at the directory of the plan.',
);
const target = systemText('a path', 'The text of the link, stored as it is.');
const flag = boolean('true or false');

const content = pipe(
  string('text in a string'),
  wellFormed,
  description('The whole content; written as UTF-8.'),
);

/** Base64 in one spelling only (RFC 4648, section 3.5): the bits that padding leaves over are 0. */
const base64Pattern =
  '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$';

// As a pattern for other programs only: V8's regular expressions overflow their stack at some MB.
const contentBase64 = pipe(
  string('base64 in a string'),
  metadata({
    description: 'The whole content in base64 with padding.',
    contentEncoding: 'base64',
    pattern: base64Pattern,
  }),
);

const shapes = {
  writeContent: pipe(
    strictObject({ op: literal('write'), path, content, mode: optional(fileMode) }),
    description('Writes text to a file.'),
  ),
  writeContentBase64: pipe(
    strictObject({ op: literal('write'), path, contentBase64, mode: optional(fileMode) }),
    description('Writes bytes to a file.'),
  ),
  writeFrom: pipe(
    strictObject({ op: literal('write'), path, from: source, mode: optional(fileMode) }),
    description('Writes the content of a file outside the root to a file.'),
  ),
  copy: pipe(
    strictObject({ op: literal('copy'), path, from: source }),
    description('Puts a copy of a file or of a whole directory in the place of what is there.'),
  ),
  remove: pipe(
    strictObject({ op: literal('remove'), path, ifPresent: optional(flag) }),
    description('Removes a file, a link, or a directory with all in it.'),
  ),
  rename: pipe(
    strictObject({ op: literal('rename'), from: path, to: path, replace: optional(flag) }),
    description('Gives a file, a link or a directory another path.'),
  ),
  mkdir: pipe(
    strictObject({ op: literal('mkdir'), path, mode: optional(directoryMode) }),
    description('Makes a directory.'),
  ),
  chmod: pipe(
    strictObject({ op: literal('chmod'), path, mode: anyMode }),
    description('Sets the permission bits of a file or directory.'),
  ),
  symlink: pipe(
    strictObject({ op: literal('symlink'), path, target }),
    description('Makes a symbolic link.'),
  ),
};

const header = {
  version: pipe(literal(1), description('Version of the plan format.')),
  message: optional(
    pipe(string('text in a string'), wellFormed, description('Kept in the history.')),
  ),
};

const documentSchema = strictObject({
  ...header,
  expect: optional(
    pipe(
      record(
        path,
        pipe(
          string(),
          // eslint-disable-next-line no-control-regex
          regex(/^(?:absent|directory|sha256:[0-9a-f]{64}|symlink:[^\u0000]+)$/),
        ),
      ),
      description(
        'What has to be at a path before the plan: absent, directory, sha256:<64 hex digits> or symlink:<target>. Else nothing is changed.',
      ),
    ),
  ),
  operations: pipe(
    array(variant('op', Object.values(shapes))),
    description('Act in this order, each on what the ones before it left.'),
  ),
});

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;
type IsSame<A, B> =
  // eslint-disable-next-line typescript/no-unnecessary-type-parameters -- only so are optional keys compared
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** `S` when it takes all of `T` and nothing else; else `never`, which does not compile. */
type Exactly<T, S extends GenericSchema> =
  IsSame<Frozen<InferInput<S>>, Frozen<T>> extends true ? S : never;

/** The schema of each shape of an operation. */
export const operationShapes: {
  readonly [K in keyof OperationDocuments]: Shape<OperationDocuments[K]>;
} = shapes satisfies {
  readonly [K in keyof OperationDocuments]: Exactly<OperationDocuments[K], (typeof shapes)[K]>;
};

/** The header's schema, but for `expect`: valibot would skip a file named `constructor`. */
export const headerShape: Shape<Omit<PlanHeader, 'expect'> & { readonly expect?: unknown }> =
  strictObject({ ...header, expect: optional(unknown()) });

/** The whole format, for schema/plan-v1.schema.json; reading checks one operation at a time. */
export const documentShape: Shape<PlanDocument> = documentSchema satisfies Exactly<
  PlanDocument,
  typeof documentSchema
>;
