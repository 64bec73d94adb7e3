import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const demo = join(import.meta.dirname, '../scripts/demo.js');

test('everything that `npm start` claims is true', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [demo], { encoding: 'utf8' });
  const claims = stdout.split('\n').filter((line) => /^ {3}[✓✗]/.test(line));
  expect(claims.filter((line) => line.includes('✗'))).toEqual([]);
  expect(claims).toHaveLength(9);
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
