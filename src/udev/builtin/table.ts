// All builtins by their names; each is imported when it is first run.

import type { System } from '../../system.ts';
import type { Builtin } from './builtin.ts';

export type BuiltinEntry = Pick<Builtin, 'name' | 'help' | 'runOnce'> & {
  /** What the builtin keeps between events it keeps in the object that this returns. */
  readonly load: (system: System) => Promise<Builtin>;
};

/** By name, as `udevadm test-builtin --help` lists them. */
export const BUILTINS: readonly BuiltinEntry[] = [
  { name: 'input_id', help: 'Input device properties', runOnce: false, load: async () => (await import('./input-id.ts')).inputIdBuiltin() },
  { name: 'path_id', help: 'Compose persistent device path', runOnce: true, load: async () => (await import('./path-id.ts')).pathId },
  { name: 'usb_id', help: 'USB device properties', runOnce: true, load: async () => (await import('./usb-id.ts')).usbId },
];

/** The builtins of one machine, for many events. Undefined for a name that is none. */
export function openBuiltins(system: System): (name: string) => Builtin | undefined {
  const opened = new Map<string, Builtin>();
  return (name) => {
    const known = opened.get(name);
    if (known) return known;
    const entry = BUILTINS.find((candidate) => candidate.name === name);
    if (!entry) return undefined;
    const builtin = lazily(entry, system);
    opened.set(name, builtin);
    return builtin;
  };
}

/** Synchronous from its second run on, where the builtin itself is. */
function lazily({ name, help, runOnce, load }: BuiltinEntry, system: System): Builtin {
  let loading: Promise<Builtin> | undefined;
  let loaded: Builtin | undefined;
  return {
    name,
    help,
    runOnce,
    run(context, argv) {
      if (loaded) return loaded.run(context, argv);
      loading ??= load(system);
      return loading.then((builtin) => {
        loaded = builtin;
        return builtin.run(context, argv);
      });
    },
  };
}
