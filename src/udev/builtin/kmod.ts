// The builtin kmod: `kmod load` for the MODALIAS of the device, `kmod load NAME...` for modules by name.

import type { ModuleRequests } from '../module-requests.ts';
import type { Builtin, BuiltinContext } from './builtin.ts';

/** Without `requests` nothing is loaded, as if no module were found. The MODALIAS is taken from the property as it is: quotes and blanks in it are no words (systemd issue 24715). */
export function kmodBuiltin(requests?: Pick<ModuleRequests, 'request'>): Builtin {
  return {
    name: 'kmod',
    help: 'Kernel module loader',
    runOnce: false,
    async run({ device, properties, system, rule }: BuiltinContext, argv) {
      const [, verb, ...named] = argv;
      if (verb !== 'load') {
        system.log.warn({ code: 'builtin-usage', message: `${device.sysname}: kmod: expected: load [MODULE...]` });
        return undefined;
      }
      const modalias = properties.get('MODALIAS');
      const names = named.length > 0 ? named : modalias ? [modalias] : [];
      // A module that fails is told by the loader; the rules go on, as in udev.
      await Promise.all(names.map((name) => requests?.request(name, device.devpath, rule)));
      return new Map();
    },
  };
}
