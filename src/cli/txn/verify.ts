import type { Finding, Store, Verified } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeFindings } from '../describe-finding.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openForVerifying } from '../open-store.js';

export interface VerifyFlags {
  readonly deep?: boolean;
}

export async function verify(context: Context, { deep = false }: VerifyFlags): Promise<ExitCode> {
  const { output } = context;
  const { findings, verified } = await lookAt(context, deep);
  output.answer(
    { verification: { isDeep: deep, findings, verified } },
    describeFindings(findings, { verified, style: output.style }),
  );
  return findings.length === 0 ? success : hasFindings;
}

interface Looked {
  readonly findings: readonly Finding[];
  /** `null`: the store could not be opened. */
  readonly verified: Verified | null;
}

async function lookAt(context: Context, deep: boolean): Promise<Looked> {
  const opened = await openForVerifying(context);
  if ('kind' in opened) return { findings: [opened], verified: null };
  await using store: Store = opened;
  const findings: Finding[] = [];
  const verifying = store.verify({ deep, signal: context.signal });
  for (;;) {
    const next = await verifying.next();
    if (next.done === true) return { findings, verified: next.value };
    findings.push(next.value);
  }
}
