// The builtin input_id: whether an input device is a keyboard, a mouse, a tablet, … and how large its surface is.

import type { Device } from '../device.ts';
import type { Builtin, BuiltinContext, BuiltinOutcome } from './builtin.ts';
import { parseCapabilityBits } from './capability-bits.ts';
import { ABS_X, ABS_Y } from './input-codes.ts';
import { inputKinds } from './input-kind.ts';

/** struct input_absinfo of linux/input.h, as far as it is asked for; `resolution` in units per millimetre. */
export type AbsInfo = { readonly minimum: number; readonly maximum: number; readonly resolution: number };

/** EVIOCGABS: one axis of an event node, undefined where it cannot be opened or has none. */
export type ReadAbsInfo = (node: string, axis: number) => AbsInfo | undefined;

/** `readAbsInfo` opens the event nodes; without it sizes are left out. */
export function inputIdBuiltin(readAbsInfo?: ReadAbsInfo): Builtin {
  return {
    name: 'input_id',
    help: 'Input device properties',
    runOnce: false,
    run: (context) => runInputId(context, readAbsInfo),
  };
}

function runInputId({ device, system }: BuiltinContext, readAbsInfo: ReadAbsInfo | undefined): BuiltinOutcome {
  const outcome = new Map<string, string>();
  const input = inputDevice(device);
  if (!input) return outcome;
  const bits = (name: string) => parseCapabilityBits(input.attribute(name));
  const kinds = inputKinds({
    ev: bits('capabilities/ev'),
    key: bits('capabilities/key'),
    rel: bits('capabilities/rel'),
    abs: bits('capabilities/abs'),
    properties: bits('properties'),
    bustype: parseInt(input.attribute('id/bustype') ?? '0', 16),
  });
  for (const kind of ['ID_INPUT', ...kinds]) outcome.set(kind, '1');
  if (readAbsInfo && device.devname !== undefined && device.sysname.startsWith('event')) {
    const node = `${system.roots.dev}/${device.devname}`;
    const [width, height] = [ABS_X, ABS_Y].map((axis) => millimetres(readAbsInfo(node, axis)));
    if (width !== undefined && height !== undefined) {
      outcome.set('ID_INPUT_WIDTH_MM', String(width)).set('ID_INPUT_HEIGHT_MM', String(height));
    }
  }
  return outcome;
}

/** The device with the masks: `inputN`, above the nodes. */
function inputDevice(device: Device): Device | undefined {
  for (let at: Device | undefined = device; at; at = at.parent) {
    if (at.attribute('capabilities/ev') !== undefined) return at;
  }
  return undefined;
}

function millimetres(axis: AbsInfo | undefined): number | undefined {
  return axis && axis.resolution > 0 ? Math.trunc((axis.maximum - axis.minimum) / axis.resolution) : undefined;
}
