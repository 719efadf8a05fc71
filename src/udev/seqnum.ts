// The kernel's count of events.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';

/** The number of the kernel's newest event; 1 where it does not tell, since libudev takes no event without one. */
export function readSeqnum(system: System): number {
  try {
    return Number(/^\d{1,15}/.exec(readFileSync(join(system.roots.sys, 'kernel/uevent_seqnum'), 'latin1'))?.[0] ?? 0) || 1;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'seqnum', message: messageOf(error) });
    return 1;
  }
}
