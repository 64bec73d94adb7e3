import type { Context } from '../context.js';
import { describeDiagnosis } from '../describe-diagnosis.js';
import { checkStore } from '../diagnosis.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';
import { programVersion } from '../version.js';

export async function doctor(context: Context): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const diagnosis = await store.diagnose();
  const checks = checkStore(diagnosis, await store.status(), reading.isLocked);
  const { capabilities } = diagnosis;
  const program = {
    version: programVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
  const data = {
    ...diagnosis,
    capabilities: { ...capabilities, nativeReason: capabilities.nativeReason ?? null },
    program,
    checks,
  };
  output.answer({ diagnosis: data }, describeDiagnosis(diagnosis, { checks, style: output.style }));
  return checks.some(({ level }) => level === 'problem') ? hasFindings : success;
}
