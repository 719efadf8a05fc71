import { closeSync, openSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';

import { parseImport } from '../../src/udev/import-lines.ts';
import { kernelCmdlineValue } from '../../src/udev/cmdline.ts';
import { PROGRAM_OUTPUT_MAX, runProgramArgv } from '../../src/udev/program.ts';
import type { ProgramOptions, ProgramResult } from '../../src/udev/program.ts';
import { splitCommand } from '../../src/udev/program-words.ts';
import { recordingLog } from '../fixture-root.ts';

const sh = (script: string, options: Partial<ProgramOptions> = {}): Promise<ProgramResult> =>
  runProgramArgv(['/bin/sh', '-c', script], { environment: new Map(), log: recordingLog(), ...options });

describe('splitCommand', () => {
  it.each([
    ['a b\tc\n', ['a', 'b', 'c']], ['', []], ["x 'a b' \"c d\"", ['x', 'a b', 'c d']], ["a'b c'd", ['ab cd']], ["x '' \"\"", ['x', '', '']],
    ['a\\ b \\n', ['a\\', 'b', '\\n']], ["x 'un closed", ['x', 'un closed']], ['"it\'s" \'a"b\'', ["it's", 'a"b']],
  ])('cuts %j', (command, words) => {
    expect(splitCommand(command)).toEqual(words);
  });
});

describe('parseImport', () => {
  it('takes KEY=VALUE lines, and says what it does not take', () => {
    const { properties, bad } = parseImport('A=1\n# no\n\n B = b c \nC="q"\nD=\'\'\nE=\n=f\nG\nH="x\nA=2\r\nI=a=b');
    expect([...properties]).toEqual([['A', '2'], ['B', 'b c'], ['C', 'q'], ['D', ''], ['I', 'a=b']]);
    expect(bad).toEqual(['E=', '=f', 'G', 'H="x']);
  });

  it('has a limit', () => {
    const { properties, bad } = parseImport(Array.from({ length: 5000 }, (_, i) => `K${i}=1`).join('\n'));
    expect([properties.size, bad]).toEqual([4096, ['more than 4096 lines']]);
  });
});

describe('kernelCmdlineValue', () => {
  it('gives the last value, 1 for none, and takes - for _', () => {
    const value = (key: string) => kernelCmdlineValue('root=/dev/a ro root=/dev/b dash-key=1 q="a b" e=', key);
    expect(['root', 'ro', 'dash_key', 'q', 'e', 'no'].map(value)).toEqual(['/dev/b', '1', '1', 'a b', '', undefined]);
  });
});

describe('runProgramArgv', () => {
  it('gives the status and what was printed', async () => {
    expect(await sh('echo a; echo b; exit 3')).toEqual({ status: 3, stdout: 'a\nb\n', truncated: false });
  });

  it('passes on the environment that it is given and no other, and no descriptors', async () => {
    const environment = new Map([['A', '1'], ['.b', 'x y'], ['', 'no'], ['C', 'a\0b']]);
    const result = await runProgramArgv(['/usr/bin/env'], { environment, log: recordingLog() });
    expect(result.stdout).toBe('A=1\n.b=x y\n');
    const fd = openSync('/dev/null', 'r');
    onTestFinished(() => closeSync(fd));
    const { stdout } = await sh('ls /proc/self/fd', { environment: new Map([['PATH', '/bin:/usr/bin']]) });
    expect(stdout.split('\n')).not.toContain(String(fd));
  });

  it('runs in a session of its own', async () => {
    const { stdout } = await sh('read -r pid comm state ppid pgrp session rest </proc/self/stat; echo $pid $pgrp $session');
    expect(new Set(stdout.trim().split(' ')).size).toBe(1);
  });

  it('bounds what is printed', async () => {
    const log = recordingLog();
    const { status, stdout, truncated } = await sh('exec 2>&1; i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done', { log });
    expect([status, stdout.length, truncated]).toEqual([0, PROGRAM_OUTPUT_MAX, true]);
    expect(log.lines).toHaveLength(1);
  });

  it('gets all of a pipe that is full when the program ends', async () => {
    const { stdout } = await sh('head -c 60000 /dev/zero | tr "\\0" x', { environment: new Map([['PATH', '/bin:/usr/bin']]), outputMax: 1 << 20 });
    expect(stdout).toHaveLength(60000);
  });

  it('kills the whole group when the time is up', async () => {
    const log = recordingLog();
    const { status, failure, stdout } = await sh('sleep 1000 & echo $!; sleep 1000', { log, timeoutMs: 300 });
    expect([status, failure]).toEqual([undefined, 'timed out after 0.3s']);
    const state = (await sh(`cat /proc/${stdout.trim()}/stat 2>/dev/null | cut -d" " -f3`, { environment: new Map([['PATH', '/bin:/usr/bin']]) })).stdout.trim();
    expect(['', 'Z']).toContain(state);
    expect(log.lines.map((line) => line.split(':')[0])).toEqual(['warn program-slow']);
  });

  it('does not wait for a grandchild that keeps the pipes open', async () => {
    const { status, stdout } = await sh('sleep 5 & echo $!');
    expect(status).toBe(0);
    process.kill(Number(stdout.trim()));
  });

  it('ends with an abort', async () => {
    const abort = new AbortController();
    const running = sh('sleep 1000', { signal: abort.signal });
    abort.abort();
    expect(await running).toMatchObject({ status: undefined, failure: 'aborted' });
    expect(await sh('true', { signal: abort.signal })).toMatchObject({ status: undefined, failure: 'aborted' });
  });

  it('tells what could not be started or was killed', async () => {
    const run = (argv: readonly string[]) => runProgramArgv(argv, { environment: new Map(), log: recordingLog() });
    expect(await run(['/nothing'])).toEqual({ status: undefined, failure: 'spawn /nothing ENOENT', stdout: '', truncated: false });
    expect(await run(['/bin/echo', 'a\0b'])).toMatchObject({ status: undefined, stdout: '' });
    expect(await sh('kill -9 $$')).toEqual({ status: undefined, failure: 'killed by SIGKILL', stdout: '', truncated: false });
  });

  it('logs what was written to standard error', async () => {
    const log = recordingLog();
    await sh('echo one >&2; echo two >&2', { log });
    expect(log.lines.map((line) => line.replace(/^.*\(err\) /, ''))).toEqual(['\'one\'', '\'two\'']);
  });
});
