// The handler that only loads modules: what udev does for RUN{builtin}="kmod load" where there are no rules.

import type { Kmod } from '../kmod/kmod.ts';
import type { System } from '../system.ts';
import type { ModuleRequests } from './module-requests.ts';
import { outcomesByModule } from './outcome.ts';
import type { AliasResult } from './outcome.ts';
import { printable } from './printable.ts';
import type { EventHandler } from './queue.ts';

/** What udev asks of kmod. */
export type ModuleProber = Pick<Kmod, 'plan' | 'execute' | 'reload'>;

/**
 * Only `add` loads: since there are bind and unbind events, loading on any event would bring back a module that was
 * just removed (systemd issue 6802).
 */
export function moduleLoader(requests: Pick<ModuleRequests, 'request'>): EventHandler {
  return async (event, report) => {
    const modalias = event.properties.get('MODALIAS');
    if (event.action !== 'add' || !modalias) return;
    report({ what: 'module', name: modalias });
    await requests.request(modalias, event.devpath);
  };
}

/** One line a module: what was loaded (info), what failed (warn, with the kernel's words), what has no hardware (debug). */
export function logOutcomes(system: System, aliases: readonly AliasResult[]): void {
  const { loaded, absent, failed, blacklisted } = outcomesByModule(aliases);
  for (const { module, ms, devices } of loaded) {
    system.log.info({ code: 'module-loaded', message: `${module} loaded for ${devicesText(devices)} (${Math.round(ms)} ms)` });
  }
  for (const { module, devices, failure } of absent) {
    system.log.debug({ code: 'module-absent', message: `${module} for ${devicesText(devices)}: no hardware (${failure.code})` });
  }
  for (const { module, devices, failure } of failed) {
    const kernel = failure.kernel.map((line) => `; kernel: ${printable(line)}`).join('');
    system.log.warn({ code: 'module-failed', message: `${module} for ${devicesText(devices)}: ${failure.text} (${failure.code})${kernel}` });
  }
  for (const { module, devices } of blacklisted) {
    system.log.debug({ code: 'module-blacklisted', message: `${module} for ${devicesText(devices)}: blacklisted` });
  }
}

/** The first device, and how many others. */
export function devicesText(devices: readonly string[]): string {
  const [first = '-', ...others] = devices;
  return others.length === 0 ? printable(first) : `${printable(first)} (+${others.length})`;
}
