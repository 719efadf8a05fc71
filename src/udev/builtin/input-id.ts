// The builtin input_id: whether an input device is a keyboard, a mouse, a tablet, … and how large its surface is.

import type { System } from '../../system.ts';
import type { Device } from '../device.ts';
import type { AbsInfo } from './abs-info.ts';
import type { Builtin, BuiltinContext, BuiltinOutcome } from './builtin.ts';
import { parseCapabilityBits } from './capability-bits.ts';
import { ABS_X, ABS_Y } from './input-codes.ts';
import { inputKinds } from './input-kind.ts';

/** Some axes of an event node; undefined where they cannot be read. */
export type ReadAxes = (system: System, node: string, axes: readonly number[]) => Promise<readonly AbsInfo[] | undefined>;

/** `readAxes` opens the event nodes; without it sizes are left out. */
export function inputIdBuiltin(readAxes?: ReadAxes): Builtin {
  return {
    name: 'input_id',
    help: 'Input device properties',
    runOnce: false,
    run: (context) => runInputId(context, readAxes),
  };
}

function runInputId({ device, system }: BuiltinContext, readAxes: ReadAxes | undefined): BuiltinOutcome | Promise<BuiltinOutcome> {
  const outcome = new Map<string, string>();
  const input = inputDevice(device);
  if (!input) return outcome;
  const bits = (name: string) => parseCapabilityBits(input.attribute(name));
  const abs = bits('capabilities/abs');
  const kinds = inputKinds({
    ev: bits('capabilities/ev'),
    key: bits('capabilities/key'),
    rel: bits('capabilities/rel'),
    abs,
    properties: bits('properties'),
    bustype: parseInt(input.attribute('id/bustype') ?? '0', 16),
  });
  for (const kind of ['ID_INPUT', ...kinds]) outcome.set(kind, '1');
  // Of axes that it does not have the kernel knows no size.
  if (!readAxes || device.devname === undefined || !device.sysname.startsWith('event') || !abs.has(ABS_X) || !abs.has(ABS_Y)) return outcome;
  return readAxes(system, `${system.roots.dev}/${device.devname}`, [ABS_X, ABS_Y]).then((axes = []) => {
    const [width, height] = axes.map(millimetres);
    if (width !== undefined && height !== undefined) outcome.set('ID_INPUT_WIDTH_MM', String(width)).set('ID_INPUT_HEIGHT_MM', String(height));
    return outcome;
  });
}

/** The device with the masks: `inputN`, above the nodes. */
function inputDevice(device: Device): Device | undefined {
  for (let at: Device | undefined = device; at; at = at.parent) {
    if (at.attribute('capabilities/ev') !== undefined) return at;
  }
  return undefined;
}

function millimetres({ minimum, maximum, resolution }: AbsInfo): number | undefined {
  return resolution > 0 ? Math.trunc((maximum - minimum) / resolution) : undefined;
}
