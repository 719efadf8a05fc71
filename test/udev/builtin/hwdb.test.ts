import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { hwdbBuiltin } from '../../../src/udev/builtin/hwdb.ts';
import { parseBuiltinCommand } from '../../../src/udev/builtin/options.ts';
import { fixtureRoot } from '../../fixture-root.ts';
import { testSystem } from '../fakes.ts';
import { contextOf, plainDevice } from './plain-device.ts';

const KNOWN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'pci:v1AF4': { ID_VENDOR_FROM_DATABASE: 'Red Hat, Inc.', ID_PCI_CLASS_FROM_DATABASE: 'Network controller' },
  'usb:v046DpC31C:USB Keyboard': { ID_MODEL_FROM_DATABASE: 'Keyboard K120' },
  'x:pci:v1AF4': { PREFIXED: '1' },
};
const builtin = hwdbBuiltin({ lookup: (key) => new Map(Object.entries(KNOWN[key] ?? {})) });

/** A card on PCI with its virtio device, and a USB device below the same. */
function machine() {
  const root = fixtureRoot({
    'sys/devices/p/uevent': 'MODALIAS=pci:v1AF4\n', 'sys/devices/p/v/uevent': 'MODALIAS=virtio:d1\n',
    'sys/devices/p/u/uevent': 'DEVTYPE=usb_device\n', 'sys/devices/p/u/idVendor': '046d\n', 'sys/devices/p/u/idProduct': 'c31c\n',
    'sys/devices/p/u/product': 'USB Keyboard\n', 'sys/devices/p/u/i/uevent': 'DEVTYPE=usb_interface\n', 'sys/devices/p/w/uevent': 'DEVTYPE=usb_device\n',
  });
  for (const [device, bus] of [['p', 'pci'], ['p/v', 'virtio'], ['p/u', 'usb'], ['p/u/i', 'usb'], ['p/w', 'usb']] as const) {
    mkdirSync(join(root, 'sys/bus', bus), { recursive: true });
    symlinkSync(join(root, 'sys/bus', bus), join(root, 'sys/devices', device, 'subsystem'));
  }
  writeFileSync(join(root, 'sys/devices/p/w/idVendor'), '1\n');
  return testSystem(root);
}

describe('hwdb', () => {
  const run = (devpath: string, ...argv: string[]) => {
    const system = machine();
    const findDevice = (id: string) => (id === '+pci:p' ? plainDevice(system, '/devices/p') : undefined);
    const outcome = builtin.run(contextOf(system, devpath, { findDevice }), ['hwdb', ...argv]);
    return outcome instanceof Map ? Object.fromEntries(outcome) : outcome;
  };
  const card = KNOWN['pci:v1AF4'];

  it('looks up the modalias of the device, then of its parents', () => {
    expect([run('/devices/p/v'), run('/devices/p/v', '--subsystem=pci'), run('/devices/p/v', '--subsystem=usb')]).toEqual([card, card, undefined]);
  });

  it('composes the modalias of a USB device, and looks no further than that', () => {
    expect(run('/devices/p/u/i', '-s', 'usb')).toEqual(KNOWN['usb:v046DpC31C:USB Keyboard']);
    expect(run('/devices/p/w')).toBeUndefined();
  });

  it('takes a modalias, a prefix, a filter and another device', () => {
    expect(run('/devices/p/u', 'pci:v1AF4')).toEqual(card);
    expect(run('/devices/p/v', '--lookup-prefix=x:', '-spci')).toEqual({ PREFIXED: '1' });
    expect(run('/devices/p/v', '--filter=ID_V*')).toEqual({ ID_VENDOR_FROM_DATABASE: 'Red Hat, Inc.' });
    expect(run('/devices/p/v', '--filter', 'NO*')).toBeUndefined();
    expect([run('/devices/p/u', '--device=+pci:p'), run('/devices/p/u', '--device=n99')]).toEqual([card, undefined]);
  });
});

describe('parseBuiltinCommand', () => {
  const specs = [{ long: 'offset', short: 'o', argument: 'optional' }, { long: 'noraid', short: 'R', argument: 'none' }, { long: 'hint', argument: 'required' }] as const;
  const parse = (...argv: string[]) => {
    const { options, operands, ignored } = parseBuiltinCommand(['x', ...argv], specs);
    return [Object.fromEntries(options), operands, ignored];
  };

  it('ignores what it does not know', () => {
    expect(parse('a', '--bad', '--noraid', '-Rx', '--hint')).toEqual([{ noraid: '' }, ['a'], ['--bad', '-Rx', '--hint']]);
  });

  it('reads an optional argument in the same word only, but always after a letter', () => {
    expect(parse('--offset', '5', '--off=6')).toEqual([{ offset: '6' }, ['5'], []]);
    expect(parse('-o', '5', '--', '-R')).toEqual([{ offset: '5' }, ['-R'], []]);
  });
});
