import { describe, expect, it } from 'vitest';

import { encodeName, safeName, truncateBytes } from '../../../src/udev/builtin/encode-id.ts';
import { packedInterfaces } from '../../../src/udev/builtin/usb-descriptors.ts';
import { fixtureRoot } from '../../fixture-root.ts';
import { writeSysfs } from '../captured-sysfs.ts';
import { runBuiltin } from './run-builtin.ts';

const DEVICE = '120100020000004034127856000101020301';
const STORAGE = '090400000208065000';
const HID = '090401000103010100';
const packed = (hex: string) => packedInterfaces(Buffer.from(hex, 'hex'));

describe('packedInterfaces', () => {
  it('lists each kind of interface once, in order', () => {
    expect(packed(`${DEVICE}0902290001010080fa${STORAGE}0705810200020007050202000200${HID}${STORAGE}00`)).toBe(':080650:030101:');
  });

  it('gives nothing for what is too short, malformed, or without interfaces', () => {
    expect([packed(''), packed(STORAGE), packed(`${DEVICE}${STORAGE}ff040100010301010000`), packed(`${DEVICE}0705810200020007050202000200`)])
      .toEqual([undefined, undefined, undefined, undefined]);
  });

  it('does not see an interface that ends the descriptors, as udev does not', () => {
    expect([packed(`${DEVICE}${STORAGE}${HID}`), packed(`${DEVICE}${HID}`)]).toEqual([':080650:', undefined]);
  });

  it('survives every truncation', () => {
    const bytes = Buffer.from(`${DEVICE}${STORAGE}${HID}`, 'hex');
    for (let length = 0; length <= bytes.length; length++) expect(packedInterfaces(bytes.subarray(0, length)) ?? ':').toMatch(/^:(?:[0-9a-f]{6}:)*$/);
  });
});

describe('encode-id', () => {
  it('makes names of links', () => {
    expect(safeName('  A  "b"/c\\x20 \\y é漢😀 ')).toBe('A__b__c\\x20__y_é漢😀');
  });

  it('encodes what may not stand in a link, so that it can be read back', () => {
    expect(encodeName(' a/b\\x20é')).toBe('\\x20a\\x2fb\\x5cx20é');
  });

  it('cuts no character', () => {
    expect([truncateBytes('aé漢', 3), truncateBytes('aé漢', 5), truncateBytes('aé漢', 6)]).toEqual(['aé', 'aé', 'aé漢']);
  });
});

describe('usb_id', () => {
  it('adds only the names of USB where another bus has said what the device is', async () => {
    const sys = fixtureRoot({});
    const [devpath = ''] = writeSysfs(sys, 'P: /devices/usb1\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_device\nA: idVendor=1d6b\nA: idProduct=0002\nA: bcdDevice=0612\n');
    const names = ['MODEL=0002', 'MODEL_ENC=0002', 'MODEL_ID=0002', 'SERIAL=1d6b_0002', 'VENDOR=1d6b', 'VENDOR_ENC=1d6b', 'VENDOR_ID=1d6b', 'REVISION=0612'];
    const usb = names.map((name) => `ID_USB_${name}`);
    expect(await runBuiltin(sys, 'usb_id', devpath)).toEqual(['ID_BUS=usb', ...names.map((name) => `ID_${name}`), ...usb]);
    expect(await runBuiltin(sys, 'usb_id', devpath, { ID_BUS: 'ata' })).toEqual(usb);
  });
});
