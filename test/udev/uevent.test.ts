// Uevents of the kernel, as messages and as files, good and hostile.

import { describe, expect, it } from 'vitest';

import { FormatError, LimitError } from '../../src/errors.ts';
import { parseUeventFile, parseUeventMessage, UEVENT_FILE_MAX, UEVENT_MESSAGE_MAX } from '../../src/udev/uevent.ts';
import { random } from '../random.ts';
import { ueventBytes } from './fakes.ts';

const ADD = {
  ACTION: 'add',
  DEVPATH: '/devices/pci0000:00/0000:00:03.0/virtio1',
  SUBSYSTEM: 'virtio',
  MODALIAS: 'virtio:d00000004v00001AF4',
  SEQNUM: '1234',
};

describe('parseUeventMessage', () => {
  it('reads what the kernel writes', () => {
    expect(parseUeventMessage(ueventBytes(ADD))).toEqual({
      action: 'add', devpath: ADD.DEVPATH, subsystem: 'virtio', seqnum: 1234, properties: new Map(Object.entries(ADD)),
    });
  });

  it('reads a view into a larger buffer', () => {
    const bytes = ueventBytes(ADD);
    const arena = new Uint8Array(bytes.length + 20).fill(65);
    arena.set(bytes, 7);
    expect(parseUeventMessage(arena.subarray(7, 7 + bytes.length))).toEqual(parseUeventMessage(bytes));
  });

  it('cuts values at a newline', () => {
    const { properties } = parseUeventMessage(ueventBytes({ ...ADD, HID_NAME: 'stick\nMODALIAS=evil' }));
    expect(properties.get('HID_NAME')).toBe('stick');
    expect(properties.get('MODALIAS')).toBe(ADD.MODALIAS);
  });

  it('keeps everything after the first equals sign, and odd keys', () => {
    const { properties } = parseUeventMessage(ueventBytes({ ...ADD, PRODUCT: 'a=b=c', ['__proto__']: 'x', EMPTY: '' }));
    expect([properties.get('PRODUCT'), properties.get('__proto__'), properties.get('EMPTY')]).toEqual(['a=b=c', 'x', '']);
  });

  it.each(['ACTION', 'DEVPATH', 'SUBSYSTEM', 'SEQNUM'])('requires %s', (key) => {
    const { [key as keyof typeof ADD]: _, ...others } = ADD;
    expect(() => parseUeventMessage(ueventBytes(others))).toThrow(FormatError);
  });

  it.each([
    ['a devpath with ..', { DEVPATH: '/devices/../../etc' }],
    ['a devpath ending in ..', { DEVPATH: '/devices/..' }],
    ['a devpath with .', { DEVPATH: '/devices/./x' }],
    ['a devpath with an empty component', { DEVPATH: '/devices//x' }],
    ['a devpath ending in a slash', { DEVPATH: '/devices/x/' }],
    ['a relative devpath', { DEVPATH: 'devices/x' }],
    ['a devpath with a newline', { DEVPATH: '/devices/x\ny' }],
    ['an action that is no word', { ACTION: 'ADD 1' }],
    ['a subsystem with a slash', { SUBSYSTEM: '../block' }],
    ['an empty subsystem', { SUBSYSTEM: '' }],
    ['a negative number', { SEQNUM: '-1' }],
    ['a number beyond 2^53', { SEQNUM: '9999999999999999' }],
  ])('refuses %s', (_, change) => {
    expect(() => parseUeventMessage(ueventBytes({ ...ADD, ...change }))).toThrow(FormatError);
  });

  it.each([
    ['of udev, which start otherwise', Buffer.concat([Buffer.from('libudev\0'), Buffer.alloc(40)])],
    ['whose header names another device', Buffer.from(Buffer.from(ueventBytes(ADD)).toString().replace('virtio1', 'virtio2'))],
    ['with a string that is no property', Buffer.concat([ueventBytes(ADD), Buffer.from('junk\0')])],
    ['with an empty key', Buffer.concat([ueventBytes(ADD), Buffer.from('=x\0')])],
    ['without the last NUL', ueventBytes(ADD).subarray(0, -1)],
    ['that are empty', new Uint8Array()],
  ])('refuses messages %s', (_, bytes) => {
    expect(() => parseUeventMessage(bytes)).toThrow(FormatError);
  });

  it('refuses messages and counts beyond its limits', () => {
    expect(() => parseUeventMessage(new Uint8Array(UEVENT_MESSAGE_MAX + 1))).toThrow(LimitError);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`K${index}`, 'v']));
    expect(() => parseUeventMessage(ueventBytes({ ...ADD, ...many }))).toThrow(LimitError);
  });

  it('throws FormatError for every truncation', () => {
    const bytes = ueventBytes(ADD);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => parseUeventMessage(bytes.subarray(0, length)), `${length} bytes`).toThrow(FormatError);
    }
  });

  it('answers or throws FormatError for every mutation', () => {
    const below = random(20_251_121);
    let refused = 0;
    for (let round = 0; round < 5000; round++) {
      const bytes = Uint8Array.from(ueventBytes(ADD));
      for (let change = 0; change <= round % 3; change++) bytes[below(bytes.length)] = below(256);
      try {
        const { devpath } = parseUeventMessage(bytes);
        if (/\/\.{0,2}(\/|$)|\0|\n/.test(devpath)) expect.fail(devpath);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('parseUeventFile', () => {
  it('reads lines and ignores what is none', () => {
    expect(parseUeventFile('DRIVER=nvme\nPCI_ID=1B36:0010\n\nnonsense\n=x\nMODALIAS=pci:v00001B36d00000010\n')).toEqual(new Map([
      ['DRIVER', 'nvme'], ['PCI_ID', '1B36:0010'], ['MODALIAS', 'pci:v00001B36d00000010'],
    ]));
  });

  it('lets the last of two equal keys count, so that a name with a newline cannot replace the modalias', () => {
    expect(parseUeventFile('HID_NAME=stick\nMODALIAS=evil\nMODALIAS=hid:b0003').get('MODALIAS')).toBe('hid:b0003');
  });

  it('refuses what is larger than an attribute can be', () => {
    expect(() => parseUeventFile('x'.repeat(UEVENT_FILE_MAX + 1))).toThrow(LimitError);
    expect(() => parseUeventFile(Array.from({ length: 300 }, (_, index) => `K${index}=v`).join('\n'))).toThrow(LimitError);
  });
});
