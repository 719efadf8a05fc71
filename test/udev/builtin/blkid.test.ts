import { closeSync, openSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../../native-bindings/fake.ts';
import { openLibc } from '../../../native-bindings/libc.ts';
import type { BlkidProbeOptions, BlkidResult, NativeBlkid } from '../../../native-bindings/native.ts';
import { openSystem } from '../../../src/system.ts';
import { blkidBuiltin } from '../../../src/udev/builtin/blkid.ts';
import { fixtureRoot, recordingLog } from '../../fixture-root.ts';
import { contextOf } from './plain-device.ts';

const UUID = 'd6c1a3d5-d60b-480a-8e33-e66706fa82f1';

/** The first page of a swap area of 4 KiB pages: version 1 at 1024, last page, then UUID and label; the magic ends the page. */
function swapArea(label: string): Buffer {
  const area = Buffer.alloc(10 * 4096);
  area.writeUInt32LE(1, 1024);
  area.writeUInt32LE(9, 1028);
  area.write(UUID.replaceAll('-', ''), 1036, 'hex');
  area.write(label, 1052, 'latin1');
  area.write('SWAPSPACE2', 4086);
  return area;
}

function scripted(result: BlkidResult | undefined) {
  const asked: BlkidProbeOptions[] = [];
  const blkid: NativeBlkid = {
    library: 'libblkid.so.1',
    probe: async (_fd, options) => {
      asked.push(options);
      return result;
    },
  };
  return { blkid, asked };
}

const value = (name: string, text: string) => ({ name, value: text, safe: `safe ${text}`, encoded: `encoded ${text}` });

async function run(blkid: NativeBlkid | undefined, argv: readonly string[] = [], { files = {}, properties = {}, node = 'sda' } = {}) {
  const root = fixtureRoot({ 'sys/devices/sda/uevent': `DEVNAME=${node}\nMAJOR=8\nMINOR=0\n`, 'dev/sda': '', 'sys/class/block/x': '', ...files });
  symlinkSync(join(root, 'sys/class/block'), join(root, 'sys/devices/sda/subsystem'));
  const system = openSystem({ root, log: recordingLog(), native: openFakeNative(blkid ? { blkid } : {}) });
  const outcome = await blkidBuiltin.run(contextOf(system, '/devices/sda', { properties: new Map(Object.entries(properties)) }), ['blkid', ...argv]);
  return outcome && Object.fromEntries(outcome);
}

describe('blkid', () => {
  it('turns the names of libblkid into properties', async () => {
    const values = [value('TYPE', 'ext4'), value('LABEL', 'a b'), value('PTTYPE', 'dos'), value('PART_ENTRY_NAME', 'n'), value('PART_ENTRY_NUMBER', '1'), value('SEC_TYPE', 'x'), value('VOLUME_ID', 'v')];
    expect(await run(scripted({ values, partitions: [] }).blkid)).toEqual({
      ID_FS_TYPE: 'ext4', ID_FS_LABEL: 'safe a b', ID_FS_LABEL_ENC: 'encoded a b', ID_PART_TABLE_TYPE: 'dos', ID_PART_ENTRY_NAME: 'encoded n',
      ID_PART_ENTRY_NUMBER: '1', ID_FS_VOLUME_ID: 'encoded v',
    });
  });

  it('passes its options on', async () => {
    const { blkid, asked } = scripted({ values: [], partitions: [] });
    expect([await run(blkid, ['--noraid', '--offset=512', '--hint=session_offset=0']), await run(blkid, ['--offset=-1'])]).toEqual([{}, undefined]);
    expect(asked).toEqual([{ offset: 512, noRaid: true, hints: ['session_offset=0'], isCharacterDevice: false }]);
  });

  it('fails without the library or when the probe does, and succeeds with nothing when the device is gone', async () => {
    const { blkid } = scripted(undefined);
    expect([await run(undefined), await run(blkid), await run(blkid, [], { node: 'gone' })]).toEqual([undefined, undefined, {}]);
  });

  it('finds the root partition of the disk that was booted from', async () => {
    const partition = (uuid: string, type: string, name: string, flags = 0n) => ({ uuid, type, name, flags });
    const root = '4f68bce3-e8cd-4db1-96e7-fbcaf984b709';
    const partitions = [
      partition('11111111-0000-0000-0000-000000000001', 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'esp'),
      partition('r9', root, 'root-9'), partition('r10', root, 'root-10'), partition('r11', root, 'root-11', 1n << 63n),
    ];
    const variable = (uuid: string) => ({ 'sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f': Buffer.concat([Buffer.from([6, 0, 0, 0]), Buffer.from(`${uuid}\0`, 'utf16le')]) });
    const { blkid } = scripted({ values: [value('PTTYPE', 'gpt')], partitions });
    const found = process.arch === 'x64' ? { ID_PART_GPT_AUTO_ROOT_UUID: 'r10' } : {};
    expect(await run(blkid, [], { files: variable('11111111-0000-0000-0000-000000000001'.toUpperCase()) })).toEqual({ ID_PART_TABLE_TYPE: 'gpt', ...found });
    expect(await run(blkid, [], { files: variable('22222222-0000-0000-0000-000000000001') })).toEqual({ ID_PART_TABLE_TYPE: 'gpt' });
    const own = scripted({ values: [value('PART_ENTRY_UUID', 'r10')], partitions: [] }).blkid;
    expect(await run(own, [], { properties: { ID_PART_GPT_AUTO_ROOT_UUID: 'r10' } })).toEqual({ ID_PART_ENTRY_UUID: 'r10', ID_PART_GPT_AUTO_ROOT: '1' });
  });
});

describe('NativeBlkid.probe', () => {
  const { blkid } = openLibc();

  it.skipIf(!blkid)('reads a file as a device, on a thread, with labels that are not UTF-8', async () => {
    const root = fixtureRoot({ swap: swapArea('caf\xe9 \x01x'), empty: Buffer.alloc(8192) });
    const probe = async (name: string, options: BlkidProbeOptions = {}) => {
      const fd = openSync(join(root, name), 'r');
      try {
        return await blkid?.probe(fd, options);
      } finally {
        closeSync(fd);
      }
    };
    const swap = await probe('swap');
    expect(new Map(swap?.values.map(({ name, value: text }) => [name, text])).get('UUID')).toBe(UUID);
    const { safe, encoded } = swap?.values.find(({ name }) => name === 'LABEL') ?? {};
    expect({ safe, encoded }).toEqual({ safe: 'caf__\x01x', encoded: 'caf\\xe9\\x20\\x01x' });
    expect([await probe('empty'), (await probe('swap', { offset: 4096 }))?.values]).toEqual([{ values: [], partitions: [] }, []]);
    const many = await Promise.all(Array.from({ length: 40 }, () => probe('swap')));
    expect(many.every((each) => each?.values.length === swap?.values.length)).toBe(true);
  });
});
