// Who asked for which module since the start, as the summary of a coldplug.

import type { ColdplugProgress, ColdplugSummary } from './coldplug.ts';
import type { ModuleRequest } from './module-requests.ts';
import { outcomesByModule } from './outcome.ts';

export interface WalkAccount {
  add(request: ModuleRequest): void;
  progress(devices: number): ColdplugProgress;
  summary(walk: { readonly devices: number; readonly ms: number; readonly settled: boolean }): ColdplugSummary;
}

export function openWalkAccount(): WalkAccount {
  const asked = new Map<string, { readonly devices: Set<string>; result: ModuleRequest['result'] }>();
  const loaded = new Set<string>();
  return {
    add({ name, devpath, result }) {
      const known = asked.get(name);
      if (known) known.devices.add(devpath);
      else asked.set(name, { devices: new Set([devpath]), result });
      for (const { module } of outcomesByModule([{ modalias: name, devices: [], result }]).loaded) loaded.add(module);
    },
    progress: (devices) => ({ devices, modaliases: asked.size, loaded: loaded.size }),
    summary: ({ devices, ms, settled }) => ({
      devices, modaliases: asked.size, rounds: [], settled, ms,
      aliases: [...asked].map(([modalias, { devices: paths, result }]) => ({ modalias, devices: [...paths], result })),
    }),
  };
}
