import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../../native-bindings/fake.ts';
import type { FakeScript } from '../../../native-bindings/fake.ts';
import { openLibc } from '../../../native-bindings/libc.ts';
import { openSystem } from '../../../src/system.ts';
import { btrfsBuiltin } from '../../../src/udev/builtin/btrfs.ts';
import { keyCode } from '../../../src/udev/builtin/key-codes.ts';
import { keyboardBuiltin } from '../../../src/udev/builtin/keyboard.ts';
import { kmodBuiltin } from '../../../src/udev/builtin/kmod.ts';
import { uaccessBuiltin } from '../../../src/udev/builtin/uaccess.ts';
import { fixtureRoot, recordingLog } from '../../fixture-root.ts';
import { fakeKmod } from '../fakes.ts';
import { contextOf } from './plain-device.ts';
import { openModuleRequests } from '../../../src/udev/module-requests.ts';

function machine(script: FakeScript = {}) {
  const root = fixtureRoot({
    'sys/devices/serio0/uevent': 'X=1\n', 'sys/devices/serio0/force_release': '5\n', 'sys/devices/serio0/sensitivity': '128\n',
    'sys/devices/serio0/event0/uevent': 'DEVNAME=input/event0\nMODALIAS=input:"a b"\n', 'dev/input/event0': '', 'dev/btrfs-control': '',
  });
  mkdirSync(join(root, 'sys/bus/serio'), { recursive: true });
  symlinkSync(join(root, 'sys/bus/serio'), join(root, 'sys/devices/serio0/subsystem'));
  const log = recordingLog();
  const native = openFakeNative(script);
  const system = openSystem({ root, log, native });
  const context = (properties: Record<string, string> = {}) => contextOf(system, '/devices/serio0/event0', { properties: new Map(Object.entries(properties)) });
  return { root, log, native, system, context };
}

describe('keyboard', () => {
  it('writes scan codes and axes into the kernel, which keeps what a field leaves out', async () => {
    const { native, context, log } = machine({
      ioctl: (request, data) => {
        if (request === 0x80184540) Buffer.from(data.buffer, data.byteOffset).fill(7);
        return 0;
      },
    });
    const outcome = await keyboardBuiltin.run(context({ KEYBOARD_KEY_70039: 'leftctrl', KEYBOARD_KEY_1e: '30', EVDEV_ABS_00: '1:200::4' }), ['keyboard']);
    expect([outcome, log.lines]).toEqual([new Map(), []]);
    expect(native.calls.map((call) => (call.call === 'ioctl' ? `${call.request.toString(16)} ${call.data}` : call.call))).toEqual([
      '40084504 390007001d000000', '40084504 1e0000001e000000', `80184540 ${'00'.repeat(24)}`, '401845c0 0707070701000000c8000000040000000707070707070707',
    ]);
  });

  it('adds keys without release to those that the keyboard has, and sets the stick', async () => {
    const { root, native, context } = machine();
    await keyboardBuiltin.run(context({ KEYBOARD_KEY_85: '!', KEYBOARD_KEY_86: '!esc', POINTINGSTICK_SENSITIVITY: '200' }), ['keyboard']);
    expect(readFileSync(join(root, 'sys/devices/serio0/force_release'), 'utf8').trim()).toBe('5,133,134');
    expect(readFileSync(join(root, 'sys/devices/serio0/sensitivity'), 'utf8').trim()).toBe('200');
    expect(native.calls).toEqual([expect.objectContaining({ call: 'ioctl', data: '8600000001000000' })]);
  });

  it('reports what it cannot read and goes on', async () => {
    const { log, context, native } = machine();
    expect(await keyboardBuiltin.run(context({ KEYBOARD_KEY_zz: 'a', KEYBOARD_KEY_1: 'nosuch', EVDEV_ABS_99: '1', EVDEV_ABS_00: '1:x', KEYBOARD_KEY_2: 'b' }), ['keyboard'])).toEqual(new Map());
    expect(log.lines.map((line) => line.replace(/^.*event0: /, ''))).toEqual(['no scan code: KEYBOARD_KEY_zz', "no key 'nosuch' (KEYBOARD_KEY_1)", 'no axis: EVDEV_ABS_99=1', 'no axis: EVDEV_ABS_00=1:x']);
    expect(native.calls).toHaveLength(1);
  });
});

describe('keyCode', () => {
  it('knows the names of linux/input-event-codes.h', () => {
    expect(['reserved', 'esc', 'coffee', 'screenlock', 'unknown', 'btn_left', 'btn_trigger_happy40', '999', '99999', 'NOPE'].map(keyCode))
      .toEqual([0, 1, 152, 152, 240, 0x110, 0x2e7, 999, undefined, undefined]);
  });
});

describe('btrfs', () => {
  it('asks the kernel, with the name behind eight bytes', async () => {
    const { native, context } = machine({ ioctl: () => 1 });
    expect(await btrfsBuiltin.run(context(), ['btrfs', 'ready', '/dev/sda'])).toEqual(new Map([['ID_BTRFS_READY', '0']]));
    const [call] = native.calls;
    expect(call?.call === 'ioctl' && [call.request, call.data.length, call.data.slice(0, 34)]).toEqual([0x90009427, 8192, `${'00'.repeat(8)}2f6465762f73646100`]);
  });

  it('fails for a kernel that refuses, and for other commands', async () => {
    const { context } = machine({ answers: [{ call: 'ioctl', errno: 22 }] });
    expect([await btrfsBuiltin.run(context(), ['btrfs', 'ready', '/dev/sda']), await btrfsBuiltin.run(context(), ['btrfs', 'scan'])]).toEqual([undefined, undefined]);
  });
});

describe('kmod', () => {
  it('loads names, or the MODALIAS as it is, with the blacklist for all', async () => {
    const { context, log, system } = machine();
    const kmod = fakeKmod({ 'input:"a b"': [{ module: 'evdev' }], 'alias x': [{ module: 'x' }] });
    const run = (argv: string[], properties = {}) => kmodBuiltin(openModuleRequests(system, kmod)).run(context(properties), argv);
    expect([await run(['kmod', 'load'], { MODALIAS: 'input:"a b"' }), await run(['kmod', 'load', 'alias x', 'none']), await run(['kmod', 'load']), await run(['kmod', 'unload'])])
      .toEqual([new Map(), new Map(), new Map(), undefined]);
    expect(kmod.planned).toEqual(['input:"a b"', 'alias x', 'none'].map((name) => ({ name, useBlacklist: 'all' })));
    expect(log.lines.filter((line) => line.startsWith('info'))).toEqual([
      'info module-loaded: evdev loaded for /devices/serio0/event0 (12 ms)', 'info module-loaded: x loaded for /devices/serio0/event0 (12 ms)',
    ]);
  });
});

describe('uaccess', () => {
  it('fails as a builtin that is not there', () => {
    expect(uaccessBuiltin.run(machine().context(), ['uaccess'])).toBeUndefined();
  });
});

describe('Native.ethtoolDriver', () => {
  it('gives the errno of an interface that is not there or no name', async () => {
    const { ethtoolDriver } = openLibc();
    expect(await Promise.all(['no-such-iface', '', 'much-too-long-a-name'].map(ethtoolDriver))).toEqual([{ errno: 19 }, { errno: 22 }, { errno: 22 }]);
  });
});
