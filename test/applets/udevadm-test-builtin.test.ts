import { describe, expect, it } from 'vitest';

import { udevadmTestBuiltin } from '../../src/applets/udevadm-test-builtin.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { writeSysfs } from '../udev/captured-sysfs.ts';
import { runApplet } from './run-applet.ts';

const machine = () => {
  const root = fixtureRoot({});
  writeSysfs(`${root}/sys`, 'P: /devices/pci0000:00/0000:00:02.0\nE: SUBSYSTEM=pci\n\nP: /devices/pci0000:00/0000:00:02.0/net/eth0\nE: SUBSYSTEM=net\n');
  return { root, run: (...argv: readonly string[]) => runApplet(udevadmTestBuiltin, argv, { root }) };
};

describe('udevadm test-builtin', () => {
  it('prints the properties, for a path with and without /sys', async () => {
    const { root, run } = machine();
    const stdout = 'ID_PATH=pci-0000:00:02.0\nID_PATH_TAG=pci-0000_00_02_0\n';
    expect(await run('path_id', `${root}/sys/class/net/eth0`)).toEqual({ status: 0, stdout, stderr: '' });
    expect(await run('-a', 'change', 'path_id', '/class/net/eth0')).toEqual({ status: 0, stdout, stderr: '' });
  });

  it('fails where the builtin does, and says why', async () => {
    expect(await machine().run('usb_id', '/class/net/eth0')).toEqual({
      status: 1, stdout: '', stderr: 'test-builtin: DEBUG: eth0: not on USB\nBuiltin command \'usb_id\' fails.\n',
    });
  });

  it.each([
    [['nosuch x', '/class/net/eth0'], 'Unknown command \'nosuch x\'\n'],
    [['path_id', '/nosuch'], 'Failed to open device \'/nosuch\': No such device\n'],
    [['path_id'], 'Expected two arguments: command string and device path.\n'],
    [['-a', 'xx', 'path_id', '/class/net/eth0'], 'Invalid action \'xx\'\n'],
    [['--foo'], 'test-builtin: unrecognized option \'--foo\'\n'],
  ])('refuses %j', async (argv, stderr) => {
    expect(await machine().run(...argv)).toEqual({ status: 1, stdout: '', stderr });
  });

  it('lists actions and builtins', async () => {
    const { run } = machine();
    expect((await run('-a', 'help')).stdout).toBe('add\nremove\nchange\nmove\nonline\noffline\nbind\nunbind\n');
    expect((await run('-h')).stdout).toMatch(/^udevadm test-builtin \[OPTIONS\] COMMAND DEVPATH\n[^]*\nCommands:\n(?: {2}[a-z_]+ +\S.*\n)+$/);
  });
});
