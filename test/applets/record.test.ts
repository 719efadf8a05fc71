import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { Applet } from '../../src/applets/applet.ts';
import { lsmod } from '../../src/applets/lsmod.ts';
import { modprobe } from '../../src/applets/modprobe.ts';
import { recordApplet } from '../../src/applets/record.ts';
import { udevadm } from '../../src/applets/udevadm.ts';
import { udevdApplet } from '../../src/applets/udevd.ts';
import { whyApplet } from '../../src/applets/why.ts';
import { parseRecording } from '../../src/machine/recording.ts';
import { RECORDING } from '../machine/recording-text.ts';
import { runApplet } from './run-applet.ts';

let scratch = '';
let file = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-record-'));
  file = join(scratch, 'a.rec');
  writeFileSync(file, RECORDING);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const run = (applet: Applet, ...argv: readonly string[]) => runApplet(applet, argv, { root: scratch });

describe('record', () => {
  it('records a recording again, and what the kernel says meanwhile', async () => {
    const again = await run(recordApplet, '--machine', file);
    expect(again).toEqual({ status: 0, stderr: '', stdout: RECORDING.slice(0, RECORDING.indexOf('A: event/')) });
    const output = join(scratch, 'b.rec');
    expect(await run(recordApplet, `--machine=${file}`, '--anonymise', '-o', output)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(statSync(output).mode & 0o777).toBe(0o600);
    expect(readFileSync(output, 'utf8')).toContain('ID_SERIAL_SHORT=SERIAL0002');
  });

  it('follows the kernel until a signal', async () => {
    const native = openFakeNative();
    let stop = (): void => undefined;
    let text = '';
    const { openSystem } = await import('../../src/system.ts');
    const { openMachine } = await import('../../src/machine/open-machine.ts');
    const machine = openMachine(file);
    const status = await recordApplet.run(['--follow'], {
      program: 'record', env: {}, isTty: { stdout: false, stderr: false }, terminal: () => undefined, stderr: (chunk) => expect(chunk).toBe(''),
      openSystem: (options) => openSystem({ ...machine.openSystem(), ...options, native }),
      stdout: (chunk) => {
        text += chunk;
        if (text.includes('SEQNUM=9')) stop();
        else native.sockets[0]?.inject('add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=block\0SEQNUM=9\0');
      },
      signals: ({ SIGINT }) => {
        stop = SIGINT ?? stop;
        if (text.includes('SEQNUM=9')) stop();
        return () => undefined;
      },
    });
    machine.close();
    expect(status).toBe(0);
    expect(parseRecording(text, 'text').events.map(({ properties }) => Object.fromEntries(properties))).toEqual([{ ACTION: 'add', DEVPATH: '/devices/x', SUBSYSTEM: 'block', SEQNUM: '9' }]);
    expect(native.sockets[0]?.closed).toBe(true);
  });

  it.each([
    [['x'], "record: Extraneous argument: 'x'"], [['--for', '1'], 'record: --for is for --follow'], [['-f', '--for', '0'], "record: --for takes seconds, not '0'"],
  ])('refuses %j', async (argv, message) => {
    expect(await run(recordApplet, ...argv)).toEqual({ status: 1, stdout: '', stderr: `${message}\n` });
  });
});

describe('--machine', () => {
  it('explains a device of it, by its node too', async () => {
    const { status, stdout, stderr } = await run(whyApplet, '--machine', file, '/dev/sda', '/devices/pci0000:00/0000:00:14.0/net/enx001122aabbcc');
    expect({ status, stderr, lines: stdout.split('\n').filter((line) => /^  (?:device|driver)/.test(line)) }).toEqual({
      status: 0, stderr: '',
      lines: [
        '  device    /devices/pci0000:00/0000:00:14.0  pci', '  device    /devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda  block', '  driver    xhci_hcd  drives it',
        '  device    /devices/pci0000:00/0000:00:14.0  pci', '  device    /devices/pci0000:00/0000:00:14.0/net/enx001122aabbcc  net', '  driver    xhci_hcd  drives it',
      ],
    });
  });

  it('lists the modules, and answers by the paths that the machine had', async () => {
    expect(await run(lsmod, '--machine', file)).toEqual({
      status: 0, stderr: '', stdout: 'Module                  Size  Used by\nusb_storage            81920  0\nxhci_hcd              344064  1 usb_storage\n',
    });
    const info = await run(udevadm, 'info', '--machine', file, '-q', 'property', '/dev/sda');
    expect(info.stdout.split('\n').filter((line) => /^(?:DEV|ID_SERIAL)/.test(line))).toEqual([
      'DEVPATH=/devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda', 'DEVNAME=/dev/sda', 'DEVTYPE=disk', 'ID_SERIAL=Maker_Stick_AA04012700007', 'ID_SERIAL_SHORT=AA04012700007',
      'DEVLINKS=/dev/disk/by-id/usb-Maker_Stick_AA04012700007-0:0 /dev/disk/by-uuid/1234-ABCD',
    ]);
    expect(await run(udevadm, 'info', `--machine=${file}`, '-q', 'path', '/dev/disk/by-uuid/1234-ABCD')).toMatchObject({ stdout: '/devices/pci0000:00/0000:00:14.0/usb1/1-4/block/sda\n' });
    expect(await run(udevadm, 'trigger', '-n', '-v', '-s', 'net', '--machine', file)).toEqual({ status: 0, stderr: '', stdout: '/sys/devices/pci0000:00/0000:00:14.0/net/enx001122aabbcc\n' });
    expect(await run(udevadm, 'test-builtin', '--machine', file, 'path_id', '/sys/class/net/enx001122aabbcc')).toEqual({
      status: 0, stderr: '', stdout: 'ID_PATH=pci-0000:00:14.0\nID_PATH_TAG=pci-0000_00_14_0\n',
    });
  });

  it.each<[Applet, readonly string[], string]>([
    [modprobe, ['xfs'], 'modprobe'], [udevdApplet, ['--coldplug-only'], 'udevd'], [udevadm, ['trigger'], 'trigger'],
  ])('changes nothing where there is no kernel (%#)', async (applet, argv, program) => {
    expect(await run(applet, ...argv, '--machine', file)).toEqual({ status: 1, stdout: '', stderr: `${program}: ${file} is a recording, which has no kernel to ask: use --dry-run\n` });
  });

  it('says what is no recording', async () => {
    expect(await run(lsmod, '--machine')).toMatchObject({ status: 1, stderr: "lsmod: option '--machine' requires an argument\n" });
    expect(await run(lsmod, '--machine', join(scratch, 'none'))).toMatchObject({ status: 1, stderr: expect.stringMatching(/^lsmod: --machine: ENOENT: .*none'\n$/) });
    writeFileSync(join(scratch, 'bad'), 'hello\n');
    expect(await run(lsmod, '--machine', join(scratch, 'bad'))).toMatchObject({ status: 1, stderr: `lsmod: --machine: ${join(scratch, 'bad')}:1: not a line of a recording (P:, N:, S:, E:, A:, H:, L:): hello\n` });
  });
});
