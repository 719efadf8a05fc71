import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../../native-bindings/fake.ts';
import { readAbsInfo } from '../../../src/udev/builtin/abs-info.ts';
import { parseCapabilityBits } from '../../../src/udev/builtin/capability-bits.ts';
import { inputIdBuiltin } from '../../../src/udev/builtin/input-id.ts';
import { deviceBySyspath } from '../../../src/udev/device-lookup.ts';
import { openSystem } from '../../../src/system.ts';
import { fixtureRoot } from '../../fixture-root.ts';
import { writeSysfs } from '../captured-sysfs.ts';

describe('parseCapabilityBits', () => {
  it('reads words from the most significant on', () => {
    const bits = parseCapabilityBits('1 0 8000000000000002');
    expect([0, 1, 63, 64, 128, 129].filter((code) => bits.has(code))).toEqual([1, 63, 128]);
    expect(bits.count(1, 128)).toBe(2);
  });

  it('takes nothing and nonsense for none', () => {
    expect([parseCapabilityBits(undefined), parseCapabilityBits('zz'), parseCapabilityBits('')].map((bits) => bits.count(0, 768))).toEqual([0, 0, 0]);
  });
});

describe('input_id', () => {
  const TREE = 'P: /devices/input1\nE: SUBSYSTEM=input\nA: capabilities/ev=b\nA: capabilities/abs=3\nA: capabilities/key=400 0 0 0 0 0\n\n'
    + 'P: /devices/input1/event3\nE: SUBSYSTEM=input\nE: MAJOR=13\nE: MINOR=67\nE: DEVNAME=input/event3\n';
  /** `answer` writes into the struct of an axis, or says the errno. */
  const run = async (answer: (axis: number, data: Uint8Array) => void, { node = true } = {}) => {
    const root = fixtureRoot(node ? { 'dev/input/event3': '' } : {});
    const devpath = writeSysfs(`${root}/sys`, TREE)[1] ?? '';
    const native = openFakeNative({
      ioctl: (request, data) => {
        answer(request - 0x80184540, data);
        return 0;
      },
    });
    const system = openSystem({ root, native });
    const device = deviceBySyspath(system, `${root}/sys${devpath}`);
    if (!device) throw new Error(devpath);
    const outcome = await inputIdBuiltin(readAbsInfo).run({ system, device, action: 'add', properties: device.properties }, ['input_id']);
    return Object.fromEntries(outcome ?? []);
  };
  const axisInfo = (data: Uint8Array, maximum: number, resolution: number): void => {
    const view = new DataView(data.buffer, data.byteOffset);
    view.setInt32(8, maximum, true);
    view.setInt32(20, resolution, true);
  };

  it('says how large a surface is where the axes can be asked', async () => {
    const asked: number[] = [];
    expect(await run((axis, data) => {
      asked.push(axis);
      axisInfo(data, axis === 0 ? 21599 : 13499, 100);
    })).toEqual({ ID_INPUT: '1', ID_INPUT_TOUCHSCREEN: '1', ID_INPUT_WIDTH_MM: '215', ID_INPUT_HEIGHT_MM: '134' });
    expect(asked).toEqual([0, 1]);
  });

  it('leaves sizes out where there is no node, or the axes have no resolution', async () => {
    const expected = { ID_INPUT: '1', ID_INPUT_TOUCHSCREEN: '1' };
    expect(await run((_axis, data) => axisInfo(data, 32767, 0))).toEqual(expected);
    expect(await run((_axis, data) => axisInfo(data, 32767, 1), { node: false })).toEqual(expected);
  });
});
