// The builtin kmod: loads modules by name or alias, or the one for the MODALIAS of the device.

import { messageOf } from '../../errors.ts';
import { logOutcomes } from '../load.ts';
import type { ModuleProber } from '../load.ts';
import { printable } from '../printable.ts';
import type { Builtin } from './builtin.ts';

/** `kmod load [NAME...]`. The blacklist counts, absent modules and hardware are no failure. What was loaded is in the log. */
export function kmodBuiltin(kmod: Pick<ModuleProber, 'plan' | 'execute'>): Builtin {
  return {
    name: 'kmod',
    help: 'Kernel module loader',
    runOnce: false,
    run: async ({ system, device, properties }, argv) => {
      const [, command, ...names] = argv;
      if (command !== 'load') {
        system.log.debug({ code: 'kmod', message: `${device.devpath}: kmod: unknown command '${printable(command ?? '')}'` });
        return undefined;
      }
      // The property as it is: a modalias may hold blanks and quotes.
      const modalias = properties.get('MODALIAS');
      const wanted = names.length > 0 ? names : modalias === undefined || modalias === '' ? [] : [modalias];
      for (const name of wanted) {
        try {
          const result = await kmod.execute(kmod.plan(name, { useBlacklist: 'all' }));
          logOutcomes(system, [{ modalias: name, devices: [device.devpath], result }]);
        } catch (error) {
          system.log.error({ code: 'plan-failed', message: `${device.devpath}: ${printable(name)}: ${messageOf(error)}` });
        }
      }
      return new Map();
    },
  };
}
