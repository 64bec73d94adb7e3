import type { Finding, Repair } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeRepairs } from '../describe-repair.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openForVerifying } from '../open-store.js';

export interface RepairFlags {
  readonly deep?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export async function repair(
  context: Context,
  { deep = false, yes = false }: RepairFlags,
): Promise<ExitCode> {
  const { output } = context;
  const { repairs, findings } = await answer(context, { deep, isDryRun: !yes });
  output.answer(
    { repair: { isDryRun: !yes, repairs, findings } },
    describeRepairs(repairs, { findings, style: output.style }),
  );
  return (findings ?? repairs).length === 0 ? success : hasFindings;
}

interface Answered {
  readonly repairs: readonly Repair[];
  /** What is left; `null`: a dry run. */
  readonly findings: readonly Finding[] | null;
}

async function answer(
  context: Context,
  { deep, isDryRun }: { readonly deep: boolean; readonly isDryRun: boolean },
): Promise<Answered> {
  const { signal } = context;
  const opened = await openForVerifying(context);
  if ('kind' in opened) {
    const message = 'restore .skillmeat/journal.db* from a backup, if there is one';
    const repairs: Repair[] = [
      { finding: opened, action: 'none', message, outcome: 'by-hand', error: null },
    ];
    return { repairs, findings: isDryRun ? null : [opened] };
  }
  await using store = opened;
  const repairs = await store.repair({ deep, dryRun: isDryRun, signal });
  if (isDryRun) return { repairs, findings: null };
  const findings: Finding[] = [];
  for await (const finding of store.verify({ deep, signal })) findings.push(finding);
  return { repairs, findings };
}
