// A new name for a network interface, as the rules asked for it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import { errnoName } from '../system.ts';
import type { System } from '../system.ts';
import type { Device } from './device.ts';
import { printable } from './printable.ts';

/** linux/if.h: IFNAMSIZ with the NUL. */
const NAME_MAX = 15;
/** The name may be that of another interface which is about to get its own: events of two interfaces run beside each other. */
const COLLISION_WAIT_MS = 100;
const COLLISION_TRIES = 10;

/**
 * `busy`: the interface is up, and the kernel older than 6.2. `collision`: another one has the name. `gone`: the interface vanished.
 * All but the first two are in the log.
 */
export type RenameOutcome = 'renamed' | 'unchanged' | 'busy' | 'collision' | 'gone' | 'failed';

/** True for what the kernel takes as the name of an interface (dev_valid_name), and what cannot be taken for a number or a pattern. */
export function isInterfaceName(name: string): boolean {
  return /^[^\s/:%\p{Cc}]+$/u.test(name) && Buffer.byteLength(name) <= NAME_MAX && !/^\.{1,2}$|^\d+$/.test(name);
}

/** Renames the interface, whatever its name is by now. Waits up to a second while another one has the name. */
export async function renameInterface(
  system: System, device: Pick<Device, 'ifindex' | 'sysname'>, name: string, options: { readonly signal?: AbortSignal } = {},
): Promise<RenameOutcome> {
  const { ifindex, sysname } = device;
  if (ifindex === undefined || name === sysname) return 'unchanged';
  const fail = (why: string): void => {
    system.log.warn({ code: 'rename-failed', message: `interface ${sysname} cannot be renamed to ${printable(name)}: ${why}` });
  };
  if (!isInterfaceName(name)) {
    fail('that is no name for an interface');
    return 'failed';
  }
  const native = await system.native();
  for (let left = COLLISION_TRIES; ; left--) {
    const errno = native.renameInterface(ifindex, name);
    if (errno === 0) {
      system.log.info({ code: 'renamed', message: `interface ${ifindex}: ${sysname} is now ${name}` });
      return 'renamed';
    }
    switch (errnoName(errno)) {
      case 'EEXIST':
        // The kernel says this also of the name that the interface has.
        if (indexOf(system, name) === ifindex) return 'unchanged';
        if (left > 1) {
          await system.clock.sleep(COLLISION_WAIT_MS, options.signal);
          continue;
        }
        fail(`interface ${indexOf(system, name) ?? '?'} has that name`);
        return 'collision';
      case 'EBUSY':
        fail('it is up');
        return 'busy';
      case 'ENODEV':
        system.log.debug({ code: 'interface-gone', message: `interface ${ifindex} (${sysname}) is gone: not renamed` });
        return 'gone';
      default:
        fail(errnoName(errno));
        return 'failed';
    }
  }
}

/** The index of an interface by its name. */
function indexOf(system: System, name: string): number | undefined {
  try {
    return Number(readFileSync(join(system.roots.sys, 'class/net', name, 'ifindex'), 'utf8'));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'interface-gone', message: `interface ${name}: ${messageOf(error)}` });
    return undefined;
  }
}
