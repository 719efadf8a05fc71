import { describe, expect, it } from 'vitest';

import { FormatError, LimitError } from '../../src/errors.ts';
import { BROADCAST_MAX, formatBroadcast, parseBroadcast, tagBloom } from '../../src/udev/broadcast.ts';
import { murmurHash2 } from '../../src/udev/murmur-hash.ts';

describe('murmurHash2', () => {
  it('gives the hashes that libudev compares', () => {
    // Read from messages of udevd 252.
    const hashes = { mem: 0xc365cd83, block: 0xf0031db7, net: 0xa74d3cc8, input: 0xc1a28470, usb: 0x0577c5e5, disk: 0x7bcbc5ee, partition: 0xcb234489, usb_device: 0x27f8f50c };
    expect(Object.fromEntries(Object.keys(hashes).map((text) => [text, murmurHash2(text)]))).toEqual(hashes);
  });
});

describe('tagBloom', () => {
  it('sets the bits that libudev asks for', () => {
    expect(tagBloom(['systemd'])).toBe(0x0200040010800000n);
    expect(tagBloom(['seat'])).toBe(0x0208000000400001n);
    expect(tagBloom(['uaccess'])).toBe(0x0000200800001008n);
    expect(tagBloom(['systemd', 'seat'])).toBe(0x0200040010800000n | 0x0208000000400001n);
    expect(tagBloom([])).toBe(0n);
  });
});

const properties = new Map([['ACTION', 'add'], ['DEVPATH', '/devices/virtual/mem/null'], ['SUBSYSTEM', 'mem'], ['EMPTY', '']]);

describe('formatBroadcast', () => {
  it('lays out the header of libudev before the properties', () => {
    const message = Buffer.from(formatBroadcast({ subsystem: 'mem', devtype: undefined, tags: ['seat'], properties: new Map([['A', 'b']]) }));
    expect(message.toString('hex')).toBe([
      Buffer.from('libudev\0').toString('hex'), 'feedcafe', '28000000', '28000000', '1c000000', 'c365cd83', '00000000', '0208000000400001',
      Buffer.from('UDEV_DATABASE_VERSION=1\0A=b\0').toString('hex'),
    ].join(''));
  });

  it('cuts values at newlines and leaves out keys that cannot be read back', () => {
    const message = formatBroadcast({ subsystem: 'mem', devtype: undefined, tags: [], properties: new Map([['A', 'x\nB=1'], ['C\n', '1'], ['D=', '1'], ['', '1']]) });
    expect([...parseBroadcast(message)]).toEqual([['A', 'x']]);
  });

  it('refuses a message that no reader would take', () => {
    expect(() => formatBroadcast({ subsystem: 'mem', devtype: undefined, tags: [], properties: new Map([['A', 'x'.repeat(BROADCAST_MAX)]]) })).toThrow(LimitError);
  });
});

describe('parseBroadcast', () => {
  const message = Buffer.from(formatBroadcast({ subsystem: 'mem', devtype: 'x', tags: ['seat'], properties }));

  it('gives back the properties in their order', () => {
    expect([...parseBroadcast(message)]).toEqual([...properties]);
  });

  it('refuses a message cut anywhere', () => {
    for (let length = 0; length < message.length; length++) expect(() => parseBroadcast(message.subarray(0, length))).toThrow(FormatError);
  });

  it('throws only its own errors at damaged messages', () => {
    for (let at = 0; at < message.length; at++) {
      for (const byte of [0, 0xff, 0x3d]) {
        const damaged = Buffer.from(message);
        damaged[at] = byte;
        try {
          parseBroadcast(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }
    }
  });
});
