// The unit files of packaging/, as the programs that read them judge them.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, describe, onTestFinished } from 'vitest';

const UNIT = join(import.meta.dirname, '../../packaging/systemd/tsudevd.service');
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

describe.skipIf(!hasSystemd)(`tsudevd.service${hasSystemd ? '' : ' (systemd is not installed)'}`, () => {
  it('has nothing that systemd-analyze verify complains of', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-unit-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const verify = (text: string) => {
      writeFileSync(join(directory, 'tsudevd.service'), text);
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(directory, 'tsudevd.service')], { encoding: 'utf8' });
      return { status, said: stderr.split('\n').filter((line) => line.includes('tsudevd.service')) };
    };
    // It looks for the program as well, which is not installed here.
    const unit = readFileSync(UNIT, 'utf8').replaceAll('/usr/bin/tsudevd', '/bin/true');
    expect(verify(unit)).toEqual({ status: 0, said: [] });
    expect(verify(`${unit}\n[Service]\nNoSuchSetting=1\n`).said).toEqual([expect.stringContaining('NoSuchSetting')]);
  });
});
