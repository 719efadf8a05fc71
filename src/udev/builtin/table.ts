// All builtins by their names; each is imported when it is first run.

import type { System } from '../../system.ts';
import type { HwdbSource } from '../hwdb-source.ts';
import type { ModuleRequests } from '../module-requests.ts';
import type { Builtin } from './builtin.ts';

/** What builtins share. */
export type BuiltinMachine = {
  readonly system: System;
  /** Who loads modules; absent where nothing shall be done to the machine. */
  readonly requests?: Pick<ModuleRequests, 'request'>;
  /** The hardware database: opened once. */
  readonly hwdb: () => Promise<HwdbSource>;
};

export type BuiltinEntry = Pick<Builtin, 'name' | 'help' | 'runOnce'> & {
  /** What the builtin keeps between events it keeps in the object that this returns. */
  readonly load: (machine: BuiltinMachine) => Promise<Builtin>;
};

/** By name, as `udevadm test-builtin --help` lists them. */
export const BUILTINS: readonly BuiltinEntry[] = [
  { name: 'blkid', help: 'Filesystem and partition probing', runOnce: true, load: async () => (await import('./blkid.ts')).blkidBuiltin },
  { name: 'btrfs', help: 'btrfs volume management', runOnce: false, load: async () => (await import('./btrfs.ts')).btrfsBuiltin },
  { name: 'hwdb', help: 'Hardware database', runOnce: false, load: async ({ hwdb }) => (await import('./hwdb.ts')).hwdbBuiltin(await hwdb()) },
  { name: 'input_id', help: 'Input device properties', runOnce: false, load: async () => (await import('./input-id.ts')).inputIdBuiltin((await import('./abs-info.ts')).readAbsInfo) },
  { name: 'keyboard', help: 'Keyboard scancode mapping and touchpad/pointingstick characteristics', runOnce: false, load: async () => (await import('./keyboard.ts')).keyboardBuiltin },
  { name: 'kmod', help: 'Kernel module loader', runOnce: false, load: async ({ requests }) => (await import('./kmod.ts')).kmodBuiltin(requests) },
  { name: 'net_driver', help: 'Set driver for network device', runOnce: true, load: async () => (await import('./net-driver.ts')).netDriverBuiltin },
  { name: 'net_id', help: 'Network device properties', runOnce: false, load: async ({ hwdb }) => (await import('./net-id.ts')).netIdBuiltin(await hwdb()) },
  { name: 'net_setup_link', help: 'Configure network link', runOnce: false, load: async ({ requests }) => (await import('./net-setup-link.ts')).netSetupLinkBuiltin({ applies: requests !== undefined }) },
  { name: 'path_id', help: 'Compose persistent device path', runOnce: true, load: async () => (await import('./path-id.ts')).pathId },
  { name: 'uaccess', help: 'Manage device node user ACL', runOnce: false, load: async () => (await import('./uaccess.ts')).uaccessBuiltin },
  { name: 'usb_id', help: 'USB device properties', runOnce: true, load: async () => (await import('./usb-id.ts')).usbId },
];

/** The builtins of one machine, for many events. Undefined for a name that is none. */
export function openBuiltins(system: System, requests?: BuiltinMachine['requests']): (name: string) => Builtin | undefined {
  let hwdb: Promise<HwdbSource> | undefined;
  const machine: BuiltinMachine = {
    system,
    ...(requests ? { requests } : {}),
    hwdb: () => (hwdb ??= import('../hwdb-source.ts').then(({ openHwdbSource }) => openHwdbSource(system))),
  };
  const opened = new Map<string, Builtin>();
  return (name) => {
    const known = opened.get(name);
    if (known) return known;
    const entry = BUILTINS.find((candidate) => candidate.name === name);
    if (!entry) return undefined;
    const builtin = lazily(entry, machine);
    opened.set(name, builtin);
    return builtin;
  };
}

/** Synchronous from its second run on, where the builtin itself is. */
function lazily({ name, help, runOnce, load }: BuiltinEntry, machine: BuiltinMachine): Builtin {
  let loading: Promise<Builtin> | undefined;
  let loaded: Builtin | undefined;
  return {
    name,
    help,
    runOnce,
    run(context, argv) {
      if (loaded) return loaded.run(context, argv);
      loading ??= load(machine);
      return loading.then((builtin) => {
        loaded = builtin;
        return builtin.run(context, argv);
      });
    },
  };
}
