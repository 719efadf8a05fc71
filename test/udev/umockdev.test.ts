import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { ParseError } from '../../src/errors.ts';
import { writeMockSysfs } from '../../src/udev/mock-sysfs.ts';
import { formatDevice, isDeviceLine, parseDevices } from '../../src/udev/umockdev.ts';
import type { CapturedDevice } from '../../src/udev/umockdev.ts';
import { fixtureRoot } from '../fixture-root.ts';

const parse = (text: string): readonly CapturedDevice[] => (
  parseDevices(text.split('\n').map((line, index) => ({ text: line, line: index + 1 })).filter((line) => isDeviceLine(line.text)), 'a.umockdev')
);

/** In the form of umockdev-record. */
const RECORDED = String.raw`P: /devices/pci0000:00/0000:00:14.0/usb1/1-1
N: bus/usb/001/002=12010002
S: my/stick
E: DEVNAME=/dev/bus/usb/001/002
E: DEVTYPE=usb_device
E: DRIVER=usb
E: ID_SERIAL=Made_1
E: MAJOR=189
E: MINOR=1
E: SUBSYSTEM=usb
E: TAGS=:seat:uaccess:
E: CURRENT_TAGS=:seat:
E: USEC_INITIALIZED=12345
A: product=A\\B\nsecond
A: authorized=1\n
H: descriptors=12FF00
L: port=../usb1-port1

P: /devices/pci0000:00/0000:00:14.0
E: SUBSYSTEM=pci
`;

describe('parseDevices', () => {
  it('tells what the kernel says from what udev knows', () => {
    expect(parse(RECORDED)).toEqual([
      {
        devpath: '/devices/pci0000:00/0000:00:14.0/usb1/1-1', subsystem: 'usb',
        properties: new Map([['DEVNAME', 'bus/usb/001/002'], ['DEVTYPE', 'usb_device'], ['DRIVER', 'usb'], ['MAJOR', '189'], ['MINOR', '1']]),
        attributes: new Map<string, unknown>([['product', 'A\\B\nsecond'], ['authorized', '1\n'], ['descriptors', Buffer.from('12ff00', 'hex')]]),
        links: new Map([['port', '../usb1-port1'], ['driver', 'usb']]),
        record: {
          links: ['my/stick'], linkPriority: 0, initialisedUsec: 12345, properties: new Map([['ID_SERIAL', 'Made_1']]),
          tags: new Set(['seat', 'uaccess']), currentTags: new Set(['seat']),
        },
      },
      { devpath: '/devices/pci0000:00/0000:00:14.0', subsystem: 'pci', properties: new Map(), attributes: new Map(), links: new Map(), record: undefined },
    ]);
  });

  it('reads what formatDevice writes', () => {
    const devices = parse(RECORDED);
    expect(parse(devices.map(formatDevice).join('\n'))).toEqual(devices);
  });

  it.each([
    ['A: x=1', 'a.umockdev:1: A: without a device: P: comes first'],
    ['P: devices/x', 'a.umockdev:1: not a devpath: devices/x'],
    ['P: /devices/../../etc', 'a.umockdev:1: not a devpath: /devices/../../etc'],
    ['P: /devices/x\nP: /devices/x', 'a.umockdev:2: /devices/x is here twice'],
    ['P: /devices/x\n\nE: NAME', 'a.umockdev:3: E: is NAME=VALUE, not NAME'],
    ['P: /devices/x\nA: ../../../etc/x=1', 'a.umockdev:2: not the name of an attribute: ../../../etc/x'],
    ['P: /devices/x\nH: d=1', 'a.umockdev:2: d is not hexadecimal'],
  ])('refuses %j', (text, message) => {
    expect(() => parse(text)).toThrow(ParseError);
    expect(() => parse(text)).toThrow(message);
  });
});

describe('writeMockSysfs', () => {
  it('makes the files and links of sysfs', () => {
    const sys = fixtureRoot({});
    writeMockSysfs(sys, parse(RECORDED));
    const directory = join(sys, 'devices/pci0000:00/0000:00:14.0/usb1/1-1');
    expect(readdirSync(directory).sort()).toEqual(['authorized', 'descriptors', 'driver', 'port', 'product', 'subsystem', 'uevent']);
    expect(readFileSync(join(directory, 'uevent'), 'utf8')).toBe('DEVNAME=bus/usb/001/002\nDEVTYPE=usb_device\nDRIVER=usb\nMAJOR=189\nMINOR=1\n');
    expect(readFileSync(join(directory, 'authorized'), 'utf8')).toBe('1\n');
    expect(readFileSync(join(sys, 'bus/usb/devices/1-1/product'), 'utf8')).toBe('A\\B\nsecond\n');
    expect(readlinkSync(join(directory, 'subsystem'))).toBe('../../../../../bus/usb');
  });

  it('writes nothing through a link, and links to nothing outside', () => {
    const root = fixtureRoot({ 'outside/kept': '' });
    const sys = join(root, 'sys');
    const text = 'P: /devices/a\nL: out=../../../outside\nL: abs=/etc\n\nP: /devices/a/out/b\nA: x=1\n';
    writeMockSysfs(sys, parse(text));
    expect(readdirSync(join(root, 'outside'))).toEqual(['kept']);
    expect(existsSync(join(sys, 'devices/a/out/b/x'))).toBe(true);
    expect(readlinkSync(join(sys, 'devices/a/abs'))).toBe('etc');
  });
});
