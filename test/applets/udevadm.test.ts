import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { udevadm } from '../../src/applets/udevadm.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const root = () => fixtureRoot({ 'etc/udev/rules.d/1-a.rules': 'FOO="x"\nKERNEL=="a",TAG+="b"\n', 'usr/lib/udev/rules.d/2-b.rules': 'KERNEL=="a", TAG+="b"\n' });

describe('udevadm', () => {
  it('tells its commands, the version that scripts compare, and what a misspelt command may mean', async () => {
    const say = (...argv: string[]) => runApplet(udevadm, argv, { root: '/' });
    expect(await say('--version')).toEqual({ status: 0, stdout: '257\n', stderr: '' });
    expect(await say('version')).toEqual({ status: 0, stdout: '257\n', stderr: '' });
    expect((await say('--help')).stdout).toMatch(/^udevadm \[--help\].*\n {2}verify {8}Verify udev rules files\n/s);
    expect(await say('verfy')).toEqual({ status: 1, stdout: '', stderr: 'Unknown command verb \'verfy\', did you mean \'verify\'?\n' });
    expect(await say('xyzzyxyzzy')).toEqual({ status: 1, stdout: '', stderr: 'Unknown command verb \'xyzzyxyzzy\'.\n' });
    expect((await say()).stderr).toMatch(/^Command verb required \(one of .*verify.*, version, help\)\.\n$/);
  });
});

describe('udevadm verify', () => {
  it('verifies all rules of the machine, in order', async () => {
    const machine = root();
    const file = join(machine, 'etc/udev/rules.d/1-a.rules');
    expect(await runApplet(udevadm, ['verify'], { root: machine })).toEqual({
      status: 1, stdout: '\n2 udev rules files have been checked.\n  Success: 1\n  Fail:    1\n',
      stderr: `${file}:1 Invalid key 'FOO'.\n${file}:2 style: whitespace after comma is expected.\n${file}: udev rules check failed.\n`,
    });
  });

  it('prints one object with --json', async () => {
    const machine = root();
    const { status, stdout, stderr } = await runApplet(udevadm, ['verify', '--json', '--no-style', '--root', machine], { root: '/' });
    const [bad, good] = [join(machine, 'etc/udev/rules.d/1-a.rules'), join(machine, 'usr/lib/udev/rules.d/2-b.rules')];
    expect([status, stderr, JSON.parse(stdout)]).toEqual([1, '', {
      schema: 1, success: 1, fail: 1,
      files: [
        {
          file: bad, ok: false,
          problems: [
            { file: bad, line: 1, column: 1, severity: 'error', message: 'Invalid key \'FOO\'.' },
            { file: bad, line: 2, column: 13, severity: 'style', message: 'style: whitespace after comma is expected.' },
          ],
        },
        { file: good, ok: true, problems: [] },
      ],
    }]);
  });

  it('names what it reads with --debug, and lets no escape sequence through', async () => {
    const machine = fixtureRoot({ 'a.rules': '\x1b[31mFOO="x"\n' });
    const file = join(machine, 'a.rules');
    expect((await runApplet(udevadm, ['-d', 'verify', file, '--no-summary'], { root: '/' })).stderr)
      .toBe(`Reading rules file: ${file}\n${file}:1 Invalid key '?[31mFOO'.\n${file}: udev rules check failed.\n`);
  });

  it('loads rules in TypeScript, and says what is wrong with them and with their names', async () => {
    const good = 'export const rule = () => undefined;';
    const root = fixtureRoot({
      '10-good.rules.mjs': good, '20-none.rules.mjs': 'export const rules = 1;', '30-two.rules.mjs': `${good}export default () => ({});`, '40-mask.rules.mjs': '',
      '50-throws.rules.mjs': 'throw new Error("no luck");', '60-same.rules.js': good, '60-same.rules.mjs': good, 'unnumbered.rules.mjs': good, 'z.rules': 'FOO="x"\n',
    });
    const { status, stdout, stderr } = await runApplet(udevadm, ['verify', '--no-style', root], { root: '/' });
    expect([status, stdout]).toEqual([1, '\n9 udev rules files have been checked.\n  Success: 4\n  Fail:    5\n']);
    const failed = (name: string, message: string) => `${name}: ${message}\n${name}: udev rules check failed.\n`;
    expect(stderr.replaceAll(`${root}/`, '')).toBe([
      failed('20-none.rules.mjs', 'exports no function `rule`'),
      failed('30-two.rules.mjs', 'exports two functions, `rule` and the default: which is the rule?'),
      failed('50-throws.rules.mjs', 'no luck'),
      failed('60-same.rules.mjs', 'is read beside 60-same.rules.js: the same rule would run twice'),
      'unnumbered.rules.mjs: style: the name does not begin with the number that puts it in its place, as 65-name does.\n',
      'z.rules:1 Invalid key \'FOO\'.\nz.rules: udev rules check failed.\n',
    ].join(''));
    expect((await runApplet(udevadm, ['verify', join(root, 'unnumbered.rules.mjs')], { root: '/' })).status).toBe(1);
  });
});
