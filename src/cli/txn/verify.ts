import type { Finding, Store, Verified } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeFindings } from '../describe-finding.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openForVerifying } from '../open-store.js';
import {
  type CollectionAnswer,
  explainWithoutStore,
  verifyCollection,
} from '../verify-collection.js';

export interface VerifyFlags {
  readonly deep?: boolean;
}

export async function verify(context: Context, { deep = false }: VerifyFlags): Promise<ExitCode> {
  const { output } = context;
  const { findings, verified, collection } = await lookAt(context, deep).catch(
    async (error: unknown) => {
      throw await explainWithoutStore(error, context);
    },
  );
  const before = collection?.lines ?? [];
  output.answer(
    { verification: { isDeep: deep, findings, verified, collection: collection?.json ?? null } },
    describeFindings(findings, { verified, before, style: output.style }),
  );
  return findings.length + (collection?.count ?? 0) === 0 ? success : hasFindings;
}

interface Looked {
  readonly findings: readonly Finding[];
  /** `null`: the store could not be opened. */
  readonly verified: Verified | null;
  /** Of the collection in the root; commands below `txn` know of none. */
  readonly collection?: CollectionAnswer | undefined;
}

async function lookAt(context: Context, deep: boolean): Promise<Looked> {
  const opened = await openForVerifying(context);
  if ('kind' in opened) return { findings: [opened], verified: null };
  await using store: Store = opened;
  const { usesCollection } = context.options;
  const findings: Finding[] = [];
  const verifying = store.verify({ deep, signal: context.signal });
  for (;;) {
    const next = await verifying.next();
    if (next.done === true) {
      const collection = usesCollection ? await verifyCollection(store.root) : undefined;
      return { findings, verified: next.value, collection };
    }
    findings.push(next.value);
  }
}
