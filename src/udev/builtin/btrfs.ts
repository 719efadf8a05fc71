// The builtin btrfs: whether all devices of a btrfs file system have been seen, so that it can be mounted.

import { closeSync } from 'node:fs';
import { join } from 'node:path';

import { messageOf } from '../../errors.ts';
import { errnoName } from '../../system.ts';
import { openNode } from '../open-node.ts';
import type { Builtin } from './builtin.ts';

/** linux/btrfs.h: _IOR(0x94, 39, struct btrfs_ioctl_vol_args), which is an fd (8 bytes) and a name (4088). */
const BTRFS_IOC_DEVICES_READY = 0x90009427;
const VOL_ARGS_SIZE = 4096;
const NAME_AT = 8;

/** `btrfs ready DEVICE`. The kernel registers the device at that. */
export const btrfsBuiltin: Builtin = {
  name: 'btrfs',
  help: 'btrfs volume management',
  runOnce: false,
  run: async ({ system }, argv) => {
    const debug = (message: string): undefined => void system.log.debug({ code: 'btrfs', message: `btrfs: ${message}` });
    const [, command, name = ''] = argv;
    if (argv.length !== 3 || command !== 'ready') return debug('usage: btrfs ready DEVICE');
    const bytes = Buffer.from(name, 'utf8');
    if (bytes.length >= VOL_ARGS_SIZE - NAME_AT || bytes.includes(0)) return debug('the name of the device is too long');
    let fd: number;
    try {
      fd = await openNode(join(system.roots.dev, 'btrfs-control'), 'r+');
    } catch (error) {
      // Without the module the file system cannot be mounted either.
      debug(messageOf(error));
      return undefined;
    }
    try {
      const args = Buffer.alloc(VOL_ARGS_SIZE);
      args.set(bytes, NAME_AT);
      const answer = await (await system.native()).ioctl(fd, BTRFS_IOC_DEVICES_READY, args);
      if ('errno' in answer) return debug(`${name}: ${errnoName(answer.errno)}`);
      return new Map([['ID_BTRFS_READY', answer.result === 0 ? '1' : '0']]);
    } finally {
      closeSync(fd);
    }
  },
};
