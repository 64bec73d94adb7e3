import type { Random } from '../support/processes.js';

/** What a bad sector, a bad cable or a bad controller does to a file. */
const damageKinds = ['flip', 'zero', 'duplicate', 'truncate'] as const;
type DamageKind = (typeof damageKinds)[number];

/** Bytes of a sector, and of a page. */
const unitSizes = [512, 4_096] as const;

/** One damage of one file of a store. */
export interface Damage {
  /** Below the root. */
  readonly path: string;
  readonly kind: DamageKind;
  readonly unitBytes: number;
  /** Which unit of the file, from 0. */
  readonly unit: number;
  /** Chooses the bit, or the unit that is copied. */
  readonly choice: number;
}

/** Every damage of a file: each unit of each size, each kind. */
export function everyDamage(path: string, bytes: Buffer, random: Random): readonly Damage[] {
  const damages: Damage[] = [];
  for (const unitBytes of unitSizes) {
    // Of a file that is no longer than a small unit, the large one is the same.
    if (unitBytes > unitSizes[0] && bytes.length <= unitSizes[0]) continue;
    for (let unit = 0; unit * unitBytes < bytes.length; unit += 1) {
      for (const kind of damageKinds) {
        const damage = { path, kind, unitBytes, unit, choice: random.below(2 ** 30) };
        if (!damaged(damage, bytes).equals(bytes)) damages.push(damage);
      }
    }
  }
  return damages;
}

/** Returns the bytes of the file after the damage. */
export function damaged({ kind, unit, unitBytes, choice }: Damage, bytes: Buffer): Buffer {
  const start = unit * unitBytes;
  const end = Math.min(start + unitBytes, bytes.length);
  if (kind === 'truncate') return Buffer.from(bytes.subarray(0, start));
  const result = Buffer.from(bytes);
  if (kind === 'zero') result.fill(0, start, end);
  if (kind === 'flip') {
    const at = start + (Math.floor(choice / 8) % (end - start));
    result.writeUInt8(result.readUInt8(at) ^ (1 << (choice % 8)), at);
  }
  if (kind === 'duplicate') {
    const units = Math.ceil(bytes.length / unitBytes);
    const from = ((unit + 1 + (choice % Math.max(1, units - 1))) % units) * unitBytes;
    bytes.copy(result, start, from, Math.min(from + (end - start), bytes.length));
  }
  return result;
}

export function describeDamage({ path, kind, unitBytes, unit, choice }: Damage): string {
  return `${kind} ${path} unit ${String(unit)} of ${String(unitBytes)} (${String(choice)})`;
}
