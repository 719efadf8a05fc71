// The axes of an event node, as the kernel tells them to who opens it.

import { closeSync, constants } from 'node:fs';

import { codeOf, messageOf } from '../../errors.ts';
import { errnoName } from '../../system.ts';
import type { System } from '../../system.ts';
import { openNode } from '../open-node.ts';

/** linux/input.h: EVIOCGABS(0); the number of the axis is added. */
export const EVIOCGABS = 0x80184540;
/** struct input_absinfo: value, minimum, maximum, fuzz, flat, resolution, 4 bytes each. */
export const ABSINFO_SIZE = 24;

/** As far as it is asked for; `resolution` in units per millimetre. */
export type AbsInfo = { readonly minimum: number; readonly maximum: number; readonly resolution: number };

/** What the kernel says of each axis; undefined where the node cannot be opened or lacks one of them, which is logged for debugging. */
export async function readAbsInfo(system: System, node: string, axes: readonly number[]): Promise<readonly AbsInfo[] | undefined> {
  const none = (reason: string): undefined => void system.log.debug({ code: 'input-id', message: `${node}: no axes: ${reason}` });
  let fd: number;
  try {
    fd = await openNode(node, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return none(messageOf(error));
  }
  try {
    const native = await system.native();
    const found: AbsInfo[] = [];
    for (const axis of axes) {
      const data = Buffer.alloc(ABSINFO_SIZE);
      const answer = await native.ioctl(fd, EVIOCGABS + axis, data);
      if ('errno' in answer) return none(errnoName(answer.errno));
      found.push({ minimum: data.readInt32LE(4), maximum: data.readInt32LE(8), resolution: data.readInt32LE(20) });
    }
    return found;
  } finally {
    closeSync(fd);
  }
}
