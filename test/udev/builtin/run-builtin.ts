// Runs one builtin for one device of a sysfs in a directory.

import { inputIdBuiltin } from '../../../src/udev/builtin/input-id.ts';
import { pathId } from '../../../src/udev/builtin/path-id.ts';
import { usbId } from '../../../src/udev/builtin/usb-id.ts';
import type { Builtin } from '../../../src/udev/builtin/builtin.ts';
import { deviceById, deviceBySyspath } from '../../../src/udev/device-lookup.ts';
import { openSystem } from '../../../src/system.ts';
import { recordingLog } from '../../fixture-root.ts';

const BUILTINS: readonly Builtin[] = [pathId, usbId, inputIdBuiltin()];

/** `KEY=VALUE` lines; none also where it fails. */
export async function runBuiltin(sys: string, command: string, devpath: string, properties: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const argv = command.split(' ');
  const system = openSystem({ roots: { sys }, log: recordingLog() });
  const device = deviceBySyspath(system, sys + devpath);
  const builtin = BUILTINS.find(({ name }) => name === argv[0]);
  if (!device || !builtin) throw new Error(`no ${builtin ? devpath : command} in ${sys}`);
  const outcome = await builtin.run({
    system, device, action: 'add',
    properties: new Map([...device.properties, ...Object.entries(properties)]),
    findDevice: (id) => deviceById(system, id),
  }, argv);
  return [...outcome ?? []].map(([key, value]) => `${key}=${value}`);
}
