// The builtin keyboard: what hwdb says of keys and axes of an input device, written into the kernel.

import { closeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { messageOf } from '../../errors.ts';
import { errnoName } from '../../system.ts';
import type { System } from '../../system.ts';
import type { Device } from '../device.ts';
import { openNode } from '../open-node.ts';
import { ABSINFO_SIZE, EVIOCGABS } from './abs-info.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';
import { keyCode } from './key-codes.ts';

/** linux/input.h, for the sizes that they have on all architectures. */
const EVIOCSKEYCODE = 0x40084504;
const EVIOCSABS = 0x401845c0;

/** Where in a struct input_absinfo the fields of `EVDEV_ABS_xx=min:max:resolution:fuzz:flat` are. */
const ABS_FIELDS = [4, 8, 20, 12, 16] as const;
/** linux/input-event-codes.h: ABS_CNT. */
const ABS_COUNT = 0x40;

/** atkbd_set_force_release of the kernel takes codes below this. */
const SCAN_CODES = 512;

/** Reads the properties `KEYBOARD_KEY_xx`, `EVDEV_ABS_xx` and `POINTINGSTICK_SENSITIVITY` of the event; a bad one is logged and skipped. */
export const keyboardBuiltin: Builtin = {
  name: 'keyboard',
  help: 'Keyboard scan code to key mapping',
  runOnce: false,
  run: async (context) => {
    const { device, properties } = context;
    const report = reporter(context);
    const keys: KeyChange[] = [];
    const axes: AxisChange[] = [];
    const released: number[] = [];
    for (const [name, value] of properties) {
      if (name.startsWith('KEYBOARD_KEY_')) takeKey(name, value, keys, released, report);
      else if (name.startsWith('EVDEV_ABS_')) takeAxis(name, value, axes, report);
      else if (name === 'POINTINGSTICK_SENSITIVITY') writeSensitivity(device, value, report);
    }
    if (released.length > 0) forceRelease(device, released, report);
    if (keys.length > 0 || axes.length > 0) await writeMaps(context, keys, axes, report);
    return new Map();
  },
};

type KeyChange = { readonly scanCode: number; readonly key: number };
type AxisChange = { readonly axis: number; readonly fields: readonly string[] };
type Report = (message: string) => void;

function reporter({ system, device }: BuiltinContext): Report {
  return (message) => system.log.warn({ code: 'keyboard', message: `${device.devpath}: ${message}` });
}

/** `KEYBOARD_KEY_70004=esc`, or `!esc`: the key sends no release. `!` alone: that only. */
function takeKey(name: string, value: string, keys: KeyChange[], released: number[], report: Report): void {
  const digits = name.slice('KEYBOARD_KEY_'.length);
  if (!/^[0-9a-fA-F]{1,8}$/.test(digits)) return report(`no scan code: ${name}`);
  const scanCode = Number.parseInt(digits, 16);
  const isReleased = value.startsWith('!');
  if (isReleased) released.push(scanCode);
  const keyName = isReleased ? value.slice(1) : value;
  if (isReleased && keyName === '') return;
  const key = keyCode(keyName);
  if (key === undefined) report(`no key '${keyName}' (${name})`);
  else keys.push({ scanCode, key });
}

function takeAxis(name: string, value: string, axes: AxisChange[], report: Report): void {
  const digits = name.slice('EVDEV_ABS_'.length);
  const axis = /^[0-9a-fA-F]{1,2}$/.test(digits) ? Number.parseInt(digits, 16) : ABS_COUNT;
  const fields = value.split(':');
  const isGood = axis < ABS_COUNT && fields.length <= ABS_FIELDS.length && fields.every((field) => /^(?:[+-]?[0-9]{1,9})?$/.test(field));
  if (isGood) axes.push({ axis, fields });
  else report(`no axis: ${name}=${value}`);
}

async function writeMaps(context: BuiltinContext, keys: readonly KeyChange[], axes: readonly AxisChange[], report: Report): Promise<void> {
  const { system, device } = context;
  if (device.devname === undefined) return report('no device node');
  let fd: number;
  try {
    fd = await openNode(join(system.roots.dev, device.devname), axes.length > 0 ? 'r+' : 'r');
  } catch (error) {
    return report(messageOf(error));
  }
  try {
    for (const { scanCode, key } of keys) {
      const data = Buffer.alloc(8);
      data.writeUInt32LE(scanCode, 0);
      data.writeUInt32LE(key, 4);
      await call(system, fd, EVIOCSKEYCODE, data, `scan code ${scanCode.toString(16)} to key ${key}`, report);
    }
    for (const { axis, fields } of axes) {
      const data = Buffer.alloc(ABSINFO_SIZE);
      // What a field leaves out stays as the kernel has it.
      if (!(await call(system, fd, EVIOCGABS + axis, data, `reading axis ${axis}`, report))) continue;
      fields.forEach((field, index) => {
        if (field !== '') data.writeInt32LE(Number(field), ABS_FIELDS[index] ?? 0);
      });
      await call(system, fd, EVIOCSABS + axis, data, `writing axis ${axis}`, report);
    }
  } finally {
    closeSync(fd);
  }
}

async function call(system: System, fd: number, request: number, data: Uint8Array, what: string, report: Report): Promise<boolean> {
  const answer = await (await system.native()).ioctl(fd, request, data);
  if (!('errno' in answer)) return true;
  report(`${what}: ${errnoName(answer.errno)}`);
  return false;
}

/** The list in the `force_release` file of the AT keyboard above the device; what is there stays. */
function forceRelease(device: Device, codes: readonly number[], report: Report): void {
  const atkbd = ancestorOn(device, 'serio');
  if (!atkbd) return report('force-release is for AT keyboards only');
  const current = atkbd.attribute('force_release') ?? '';
  const wanted = codes.filter((code) => code < SCAN_CODES);
  writeAttribute(atkbd, 'force_release', [current, ...wanted].filter((text) => text !== '').join(','), report);
}

function writeSensitivity(device: Device, value: string, report: Report): void {
  const serio = ancestorOn(device, 'serio');
  if (!serio) return report('POINTINGSTICK_SENSITIVITY is for PS/2 devices only');
  if (!/^[0-9]{1,3}$/.test(value) || Number(value) > 255) return report(`bad POINTINGSTICK_SENSITIVITY ${value}`);
  writeAttribute(serio, 'sensitivity', value, report);
}

function ancestorOn(device: Device, subsystem: string): Device | undefined {
  let above = device.parent;
  while (above && above.subsystem !== subsystem) above = above.parent;
  return above;
}

function writeAttribute(device: Device, name: string, value: string, report: Report): void {
  try {
    writeFileSync(join(device.syspath, name), value, { flag: 'r+' });
  } catch (error) {
    report(messageOf(error));
  }
}
