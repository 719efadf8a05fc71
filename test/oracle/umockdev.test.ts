// Debian's umockdev reads our recordings and we read its, of this machine.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { recordApplet } from '../../src/applets/record.ts';
import { udevadm } from '../../src/applets/udevadm.ts';
import { EXTENSION_DEVPATH, parseRecording } from '../../src/machine/recording.ts';
import type { CapturedDevice } from '../../src/udev/umockdev.ts';
import { runApplet } from '../applets/run-applet.ts';
import { udevadm252 } from './udev-namespace.ts';

const isInstalled = spawnSync('umockdev-run', ['--version']).status === 0;
if (!isInstalled && process.env['CI'] === 'true') throw new Error('umockdev is not installed');

describe.skipIf(!isInstalled)('a recording and umockdev', () => {
  let scratch = '';
  let ours = '';
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-umockdev-'));
    ours = join(scratch, 'ours');
    expect(await runApplet(recordApplet, ['-o', ours], { root: '/' })).toEqual({ status: 0, stdout: '', stderr: '' });
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** With Debian's udevadm, which umockdev asks, too. */
  const run = (program: string, ...args: readonly string[]): string => {
    const path = `${dirname(udevadm252())}${delimiter}${process.env['PATH'] ?? ''}`;
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, PATH: path } });
    if (status !== 0) throw new Error(`${program}: status ${status}: ${stderr}`);
    return stdout;
  };
  const info = async (file: string): Promise<ReadonlyMap<string, readonly string[]>> => {
    const ran = await runApplet(udevadm, ['info', '-e', '--machine', file], { root: '/' });
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    return blocks(ran.stdout);
  };

  it('is what udevadm 252 sees in the machine that umockdev-run makes of it', async () => {
    const theirs = blocks(run('umockdev-run', '--device', ours, '--', 'udevadm', 'info', '-e'));
    theirs.delete(EXTENSION_DEVPATH);
    expect(theirs.size).toBeGreaterThan(100);
    expect(await info(ours)).toEqual(theirs);
  });

  it('comes back from umockdev-record in that machine', () => {
    const again = parseRecording(run('umockdev-run', '--device', ours, '--', 'umockdev-record', '--all'), 'again');
    const recorded = parseRecording(readFileSync(ours, 'utf8'), ours);
    expect(byDevpath(again.devices)).toEqual(byDevpath(recorded.devices));
  });

  it('of umockdev-record is the machine that udevadm 252 sees', async () => {
    const file = join(scratch, 'theirs');
    writeFileSync(file, run('umockdev-record', '--all'));
    expect(await info(file)).toEqual(blocks(run('udevadm', 'info', '-e')));
  });
});

/** The lines of each device, sorted: 252 has its sets in no order; J: and B: are newer. */
function blocks(text: string): Map<string, readonly string[]> {
  const devices = text.split('\n\n').filter((block) => block.startsWith('P: ')).map((block) => {
    const [first = '', ...lines] = block.split('\n');
    return [first.slice(3), lines.filter((line) => line !== '' && !/^[JB]: /.test(line)).sort()] as const;
  });
  return new Map(devices);
}

/** umockdev-record goes one directory deep, umockdev-run deeper. */
const isShallow = ([name]: readonly [string, unknown]): boolean => name.split('/').length <= 2;

function byDevpath(devices: readonly CapturedDevice[]): ReadonlyMap<string, object> {
  return new Map(devices.map(({ devpath, attributes, links, record, ...rest }) => [devpath, {
    ...rest, attributes: new Map([...attributes].filter(isShallow).map(([name, value]) => [name, Buffer.from(value).toString('latin1')])), links: new Map([...links].filter(isShallow).sort()),
    properties: new Map(record?.properties),
  }]));
}
