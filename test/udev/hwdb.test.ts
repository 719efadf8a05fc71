import { readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { FormatError, LimitError } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import { compileHwdb } from '../../src/udev/hwdb-compile.ts';
import { HwdbFile } from '../../src/udev/hwdb-file.ts';
import { parseHwdb } from '../../src/udev/hwdb-parse.ts';
import { openHwdbSource } from '../../src/udev/hwdb-source.ts';
import { updateHwdb } from '../../src/udev/hwdb-update.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { random as randomFrom } from '../random.ts';

const FILE = '/etc/udev/hwdb.d/50-test.hwdb';
const TEXT = `# comment
 indented=1
usb:v1D6B*
usb:v1D6Bp0002*
 NOVALUE
   ID_VENDOR=Linux Foundation
 =x
 ID_MODEL= two # comment

nodata

usb:v1D6Bp0002*
 ID_MODEL=three
baz
 Y=2

evdev:name:[Aa]b?:*
 KEY_1=esc
usb:v1D6Bp0003
 LAST=1
`;

/** What systemd-hwdb update and udevadm hwdb --update of 252 made of TEXT. */
const BIN = Buffer.from(`
S1NMUEhIUkj8AAAAAAAAAC8CAAAAAAAAUAAAAAAAAAAYAAAAAAAAABAAAAAAAAAAIAAAAAAAAABwAQAAAAAAAFgBAAAAAAAAhwAAAAAAAAARAgAAAAAAAAAA
AAAAAAAAAQAAAAAAAAAkAgAAAAAAACsCAAAAAAAAzwEAAAAAAAASAAAAAQAAALIBAAAAAAAAAAAAAAAAAAACAAAAAAAAAPwBAAAAAAAABgIAAAAAAADPAQAA
AAAAAAgAAAABAAAAswEAAAAAAAC+AQAAAAAAAM8BAAAAAAAABgAAAAEAAAD2AQAAAAAAAAAAAAAAAAAAAgAAAAAAAAD8AQAAAAAAAAsCAAAAAAAAzwEAAAAA
AAANAAAAAQAAALMBAAAAAAAAvgEAAAAAAADPAQAAAAAAAAYAAAABAAAA7QEAAAAAAAACAAAAAAAAAAAAAAAAAAAAKgAAAAAAAACIAAAAAAAAAHAAAAAAAAAA
4AAAAAAAAACoAQAAAAAAAAIAAAAAAAAAAAAAAAAAAABlAAAAAAAAAFAAAAAAAAAAdQAAAAAAAAA4AQAAAAAAAABzYjp2MUQ2QioAIElEX1ZFTkRPUgBMaW51
eCBGb3VuZGF0aW9uAC9ldGMvdWRldi9od2RiLmQvNTAtdGVzdC5od2RiAHNiOnYxRDZCADAwMDIqACBJRF9NT0RFTAAgdHdvAHRocmVlAHZkZXY6bmFtZTpb
QWFdYj86KgAgS0VZXzEAZXNjAA==`, 'base64');
const BIN_COMPAT = Buffer.from(`
S1NMUEhIUkj8AAAAAAAAAMEBAAAAAAAAUAAAAAAAAAAYAAAAAAAAABAAAAAAAAAAEAAAAAAAAAAgAQAAAAAAAAgBAAAAAAAAaQAAAAAAAACjAQAAAAAAAAAA
AAAAAAAAAQAAAAAAAAC2AQAAAAAAAL0BAAAAAAAAYgEAAAAAAAAAAAAAAAAAAAIAAAAAAAAAjgEAAAAAAACYAQAAAAAAAGMBAAAAAAAAbgEAAAAAAACIAQAA
AAAAAAAAAAAAAAAAAgAAAAAAAACOAQAAAAAAAJ0BAAAAAAAAYwEAAAAAAABuAQAAAAAAAH8BAAAAAAAAAgAAAAAAAAAAAAAAAAAAACoAAAAAAAAAeAAAAAAA
AABwAAAAAAAAALAAAAAAAAAAWAEAAAAAAAACAAAAAAAAAAAAAAAAAAAAZQAAAAAAAABQAAAAAAAAAHUAAAAAAAAA6AAAAAAAAAAAc2I6djFENkIqACBJRF9W
RU5ET1IATGludXggRm91bmRhdGlvbgBzYjp2MUQ2QgAwMDAyKgAgSURfTU9ERUwAIHR3bwB0aHJlZQB2ZGV2Om5hbWU6W0FhXWI/OioAIEtFWV8xAGVzYwA=`, 'base64');

const lookup = (bin: Uint8Array, key: string) => [...new HwdbFile(bin, 'hwdb.bin').lookup(key)].map(([name, value]) => `${name}=${value}`);

describe('parseHwdb', () => {
  it('says what is wrong in the words of systemd-hwdb', () => {
    expect(parseHwdb(TEXT, FILE).problems.map(({ line, message }) => `${line}: ${message}`)).toEqual([
      '2: Match expected but got indented property " indented=1", ignoring line.',
      '5: Key-value pair expected but got " NOVALUE", ignoring.',
      '7: Empty key in " =x", ignoring.',
      '11: Property expected, ignoring record with no properties.',
      '14: Property or empty line expected, got "baz", ignoring record.',
      '15: Match expected but got indented property " Y=2", ignoring line.',
      '19: Property or empty line expected, got "usb:v1D6Bp0003", ignoring record.',
      '20: Match expected but got indented property " LAST=1", ignoring line.',
    ]);
  });

  it('takes a file of Windows', () => {
    expect(parseHwdb('a\r\n c=d\r\n\r\nb\r\n e=f\r\n', 'f')).toEqual({
      file: 'f', problems: [],
      properties: [{ matches: ['a'], key: 'c', value: 'd', line: 2 }, { matches: ['b'], key: 'e', value: 'f', line: 5 }],
    });
  });
});

describe('compileHwdb', () => {
  it('makes the bytes of systemd-hwdb, and of udevadm hwdb', () => {
    const texts = [parseHwdb(TEXT, FILE)];
    expect(Buffer.from(compileHwdb(texts)).equals(BIN)).toBe(true);
    expect(Buffer.from(compileHwdb(texts, { compat: true })).equals(BIN_COMPAT)).toBe(true);
  });

  it('refuses a match that is too long', () => {
    expect(() => compileHwdb([parseHwdb(`${'x'.repeat(3000)}\n A=1\n`, 'f')])).toThrow(LimitError);
  });
});

describe('HwdbFile.lookup', () => {
  it.each([BIN, BIN_COMPAT])('finds what systemd-hwdb query finds, in its order', (bin) => {
    expect(lookup(bin, 'usb:v1D6Bp0003')).toEqual(['ID_MODEL= two', 'ID_VENDOR=Linux Foundation']);
    expect(lookup(bin, 'usb:v1D6B')).toEqual(['ID_MODEL= two', 'ID_VENDOR=Linux Foundation']);
    expect(lookup(bin, 'evdev:name:abc:x')).toEqual(['KEY_1=esc']);
    expect(lookup(bin, 'evdev:name:cbc:x')).toEqual([]);
    expect(lookup(bin, '')).toEqual([]);
  });

  it('prefers the later line to the one that it meets later', () => {
    expect(lookup(BIN, 'usb:v1D6Bp0002x')).toEqual(['ID_MODEL=three', 'ID_VENDOR=Linux Foundation']);
  });

  it('knows escapes, classes and brackets that never close', () => {
    const bin = compileHwdb([parseHwdb('a*\\*z\n A=1\n\nb[[:digit:]x]*\n B=1\n\nc*[d\n C=1\n\nd?[!a-c]\n D=1\n', 'f')]);
    const found = ['axx*z', 'axxz', 'b7', 'bx', 'by', 'cc[d', 'ccd', 'dxz', 'dxa'].map((key) => `${key} ${lookup(bin, key).join()}`);
    expect(found).toEqual(['axx*z A=1', 'axxz ', 'b7 B=1', 'bx B=1', 'by ', 'cc[d C=1', 'ccd ', 'dxz D=1', 'dxa ']);
  });

  it('throws only FormatError and LimitError for damaged files', () => {
    const random = randomFrom(11);
    for (let length = 0; length < BIN.length; length++) expect(() => new HwdbFile(BIN.subarray(0, length), 'f')).toThrow(FormatError);
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(BIN);
      for (let i = 0; i < 3; i++) bytes[random(bytes.length)] = random(256);
      try {
        const hwdb = new HwdbFile(bytes, 'f');
        for (const key of ['usb:v1D6Bp0002x', 'evdev:name:abc:x']) hwdb.lookup(key);
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof LimitError)) throw error;
      }
    }
  });
});

describe('updateHwdb', () => {
  it('writes a file for readers only, of the first file of each name', () => {
    const root = fixtureRoot({
      'etc/udev/hwdb.d/10-a.hwdb': 'x*\n A=etc\n', 'lib/udev/hwdb.d/10-a.hwdb': 'x*\n A=lib\n', 'lib/udev/hwdb.d/05-b.hwdb': 'x*\n A=1\n B=é\n',
      'lib/udev/hwdb.d/20-hidden.hwdb': 'x*\n A=hidden\n', 'lib/udev/hwdb.d/notes.txt': 'x*\n A=notes\n',
    });
    symlinkSync('/dev/null', join(root, 'etc/udev/hwdb.d/20-hidden.hwdb'));
    const system = openSystem({ root });
    const path = join(root, 'etc/udev/hwdb.bin');
    expect(updateHwdb(system)).toEqual({ path, outcome: 'written', problems: [] });
    expect(statSync(path).mode & 0o777).toBe(0o444);
    expect(readFileSync(path).includes(`${root}/etc/udev/hwdb.d/10-a.hwdb`)).toBe(true);
    expect(openHwdbSource(system).lookup('xyz')).toEqual(new Map([['A', 'etc'], ['B', 'é']]));
  });

  it('takes the database away with the last file', () => {
    const root = fixtureRoot({ 'lib/udev/hwdb.bin': 'old' });
    const outcomes = [updateHwdb(openSystem({ root }), { usr: true }), updateHwdb(openSystem({ root }), { usr: true })];
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['removed', 'absent']);
  });
});

describe('openHwdbSource', () => {
  it('reports a damaged database once and goes on without', () => {
    const log = recordingLog();
    const root = fixtureRoot({ 'etc/udev/hwdb.bin': 'KSLPHHRH' });
    const hwdb = openHwdbSource(openSystem({ root, log }));
    expect([hwdb.lookup('a'), hwdb.lookup('b')]).toEqual([undefined, undefined]);
    expect(log.lines).toEqual([`error bad-hwdb: ${root}/etc/udev/hwdb.bin: at offset 0: expected a header of 80 bytes, found 8 bytes`]);
  });
});
