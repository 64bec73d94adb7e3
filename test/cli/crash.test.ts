import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { json, planOf, preloading, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine('process');

async function commit(content: string): Promise<void> {
  await cli.run(['txn', 'apply', '--init', '-q'], { input: planOf(writing('a', content)) });
}

async function killWriter(): Promise<void> {
  const holder = await cli.holdLock();
  holder.child.kill('SIGKILL');
  await holder.outcome;
}

describe('while another process writes', () => {
  test('apply gives up after --lock-timeout and names the holder', async () => {
    await commit('1');
    const holder = await cli.holdLock();
    const input = planOf(writing('b'));
    const outcome = await cli.run(['txn', 'apply', '--lock-timeout', '50ms'], { input });
    expect(outcome.exitCode).toBe(6);
    expect(outcome.stderr).toContain(`process ${String(holder.child.pid)} on `);
    expect(outcome.stderr).toContain('(skillmeat txn apply)');
    expect(outcome.stderr).toContain('[STORE_LOCKED]\n  hint: ');
    expect(existsSync(cli.at('b'))).toBe(false);
  });

  test('status, log and show answer all the same, and status names the holder', async () => {
    await commit('1');
    const holder = await cli.holdLock();
    const { exitCode, stdout } = await cli.run(['txn', 'status']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`Lock:       held by process ${String(holder.child.pid)} on `);
    expect(json(await cli.run(['txn', 'status', '--json']))).toMatchObject({
      status: { isLocked: true, head: 1, writer: { pid: holder.child.pid, isDone: false } },
    });
    expect((await cli.run(['txn', 'log'])).exitCode).toBe(0);
    expect((await cli.run(['txn', 'show', '1'])).exitCode).toBe(0);
    expect((await cli.run(['txn', 'doctor'])).exitCode).toBe(0);
  });
});

describe('after kill -9', () => {
  test('the next command recovers and says so in one line on stderr', async () => {
    await commit('1');
    await killWriter();
    const { exitCode, stdout, stderr } = await cli.run(['txn', 'log', '--json']);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^skillmeat: recovered: .*\n$/);
    expect(JSON.parse(stdout)).toMatchObject({ transactions: [{ id: 1 }] });
    expect(existsSync(cli.at('held'))).toBe(false);
    expect((await cli.run(['txn', 'log'])).stderr).toBe('');
  });

  test('--quiet leaves the line out', async () => {
    await commit('1');
    await killWriter();
    expect((await cli.run(['txn', 'status', '--quiet'])).stderr).toBe('');
  });

  test('recover reports what it found', async () => {
    await commit('1');
    await killWriter();
    const { exitCode, stdout, stderr } = await cli.run(['txn', 'recover']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toBe('Recovered: 1 transaction checked, nothing to repair.\n');
  });

  test("another program's edit of a path stays, and somebody hears of it", async () => {
    await commit('1');
    await killWriter();
    cli.write('a', 'edited by hand');
    const { stderr } = await cli.run(['txn', 'status', '--quiet']);
    expect(stderr).toMatch(/^skillmeat: warning: recovered: .* kept as left by another program\n$/);
    expect(cli.read('a')).toBe('edited by hand');
  });
});

describe('a transaction whose bytes are lost', () => {
  /** Leaves transaction 2 neither done nor possible to do: its content is nowhere. */
  async function damage(): Promise<void> {
    await commit('1');
    await commit('2');
    await killWriter();
    cli.write('a', '1');
    const stage = readdirSync(cli.at('.skillmeat/stage')).find((name) => name.startsWith('2-'));
    rmSync(cli.at(`.skillmeat/stage/${String(stage)}`), { recursive: true });
  }

  test('recover exits with 11 and says how to decide; then it takes the decision', async () => {
    await damage();
    const text = await cli.run(['txn', 'recover']);
    expect(text.exitCode).toBe(11);
    expect(text.stdout).toContain('transaction 2 is not resolved: ');
    expect(text.stdout).toContain('--redo 2 or --undo 2');
    const data = await cli.run(['txn', 'recover', '--json']);
    expect(data.exitCode).toBe(11);
    expect(json(data)).toMatchObject({ recovery: { unresolved: [{ id: 2 }] } });
    const planned = await cli.run(['txn', 'recover', '--dry-run']);
    expect(planned.exitCode).toBe(11);
    expect(planned.stdout).toMatch(/^Would check .*\n {2}transaction 2 is not resolved: /);
    const decided = await cli.run(['txn', 'recover', '--undo', '2', '-n', '--json']);
    expect(decided.exitCode).toBe(0);
    expect(json(decided)).toMatchObject({ recovery: { unresolved: [] } });
    expect((await cli.run(['txn', 'recover'])).exitCode).toBe(11);
    expect((await cli.run(['txn', 'recover', '--undo', '2'])).exitCode).toBe(0);
    expect(cli.read('a')).toBe('1');
    expect((await cli.run(['txn', 'doctor'])).exitCode).toBe(0);
  });

  test('doctor exits with 3, status shows it, and apply refuses with 11', async () => {
    await damage();
    const doctor = await cli.run(['txn', 'doctor']);
    expect(doctor.exitCode).toBe(3);
    expect(doctor.stdout).toContain('PROBLEM transactions: 2 is damaged: ');
    const status = await cli.run(['txn', 'status']);
    expect(status.exitCode).toBe(0);
    expect(status.stdout).toContain('Transaction 2 is damaged: ');
    const apply = await cli.run(['txn', 'apply', '--json'], { input: planOf(writing('b')) });
    expect(apply.exitCode).toBe(11);
    expect(json(apply)).toMatchObject({ error: { code: 'DAMAGED' } });
  });
});

test('a copied store is refused until recover --adopt', async () => {
  await commit('1');
  cpSync(cli.at('.skillmeat'), cli.at('copy/.skillmeat'), { recursive: true });
  const refused = await cli.run(['-C', 'copy', 'txn', 'status']);
  expect(refused.exitCode).toBe(8);
  expect(refused.stderr).toContain('[STORE_DETACHED]');
  expect((await cli.run(['-C', 'copy', 'txn', 'recover', '--adopt'])).exitCode).toBe(0);
  expect((await cli.run(['-C', 'copy', 'txn', 'status'])).exitCode).toBe(0);
});

/** Before the command listens to signals, one ends it as it ends any program. */
const saysWhenListening = {
  NODE_OPTIONS: preloading(
    "process.on('newListener',(n)=>{if(n==='SIGTERM')setImmediate(()=>process.stderr.write('ready '))})",
  ),
};

describe('Ctrl-C', () => {
  test.each([
    ['SIGINT', '{"version":1,'],
    ['SIGTERM', '{"version":1}\n{"op":"write","path":"b","content":"x"}\n'],
  ] as const)('%s stops an apply that waits for its plan: %s', async (signal, input) => {
    await commit('1');
    const { child, outcome } = cli.start(['txn', 'apply'], { input, env: saysWhenListening });
    await new Promise((resolve) => child.stderr?.once('data', resolve));
    child.kill(signal);
    const { exitCode, stderr } = await outcome;
    expect(exitCode).toBe(130);
    expect(stderr).toContain('stopped on request');
    expect(stderr).toContain('[ABORTED]');
    expect(existsSync(cli.at('b'))).toBe(false);
    expect(json(await cli.run(['txn', 'status', '--json']))).toMatchObject({ status: { head: 1 } });
  });
});
