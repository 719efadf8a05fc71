// The builtin net_driver: the driver of a network interface as ethtool names it.

import { errnoName } from '../../system.ts';
import type { Builtin } from './builtin.ts';

/** Fails where the driver does not tell; also for interfaces without one, as bridges, whose kernel module answers. */
export const netDriverBuiltin: Builtin = {
  name: 'net_driver',
  help: 'Set driver for network device',
  runOnce: true,
  run: async ({ system, device }) => {
    const answer = await (await system.native()).ethtoolDriver(device.sysname);
    if ('driver' in answer) return answer.driver === '' ? undefined : new Map([['ID_NET_DRIVER', answer.driver]]);
    system.log.debug({ code: 'net-driver', message: `${device.sysname}: no driver: ${errnoName(answer.errno)}` });
    return undefined;
  },
};
