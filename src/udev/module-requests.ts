// Who asks for which module: the same request is made once at a time, and every answer is told to whoever keeps account.

import { messageOf } from '../errors.ts';
import type { ModuleLoad, ProbeResult } from '../kmod/probe.ts';
import type { System } from '../system.ts';
import { decidedModules, KERNEL_REQUEST } from './decision-record.ts';
import type { Decision } from './decision-record.ts';
import { logOutcomes } from './load.ts';
import type { ModuleProber } from './load.ts';
import { printable } from './printable.ts';
import type { RuleSource } from './rules/event-result.ts';

export type ModuleRequest = {
  /** A modalias, verbatim, or a module's name. */
  readonly name: string;
  /** For whom; KERNEL_REQUEST for the kernel itself. */
  readonly devpath: string;
  readonly result: ProbeResult;
  /** For the journal. */
  readonly decision: Decision;
};

export interface ModuleRequests {
  /** Loads; `rule` asked, where one did. Undefined, and a log record, where no plan can be made. Never rejects for a module that fails. */
  request(name: string, devpath: string, rule?: RuleSource): Promise<ProbeResult | undefined>;
  /**
   * For request_module() of the kernel, which may come from the init of a module that is being loaded: it waits for no other request.
   * A blacklist counts for aliases only, as for modprobe.
   */
  requestForKernel(name: string): Promise<ProbeResult | undefined>;
  /** What is being loaded, by the names that were asked for. */
  loading(): readonly string[];
  /** Resolves when nothing is being loaded. */
  idle(): Promise<void>;
  /**
   * While a walk of /sys is worked off a name is asked for once: eight processors have one modalias, and a driver that found no
   * hardware for the first finds none for the last.
   */
  beginWalk(): void;
  endWalk(): void;
  /** The next request sees the configuration and indexes as they are now. */
  reload(): void;
}

/** Names kept that nothing knows; a machine has some hundred modaliases. */
const UNKNOWN_MAX = 4096;

export function openModuleRequests(system: System, kmod: ModuleProber, onResult?: (request: ModuleRequest) => void): ModuleRequests {
  const underWay = new Map<string, Promise<ProbeResult | undefined>>();
  /** What no index and no configuration knows: most devices, whose every event asks again. */
  let unknown = new Map<string, ProbeResult>();
  /** During a walk: what was asked for already. */
  let answered: Map<string, ProbeResult | undefined> | undefined;
  let waiting: (() => void)[] = [];

  const load = async (name: string, onLoad: (load: ModuleLoad) => void, isForKernel = false): Promise<ProbeResult | undefined> => {
    let plan;
    try {
      plan = kmod.plan(name, isForKernel ? {} : { useBlacklist: 'all' });
    } catch (error) {
      system.log.error({ code: 'plan-failed', message: `${printable(name)}: ${messageOf(error)}` });
      return undefined;
    }
    return kmod.execute(plan, { forKernel: isForKernel, onLoad });
  };
  const start = (name: string, onLoad: (load: ModuleLoad) => void): Promise<ProbeResult | undefined> => {
    const loading = load(name, onLoad).finally(() => {
      underWay.delete(name);
      if (underWay.size > 0) return;
      const wake = waiting;
      waiting = [];
      for (const resolve of wake) resolve();
    });
    underWay.set(name, loading);
    return loading;
  };
  const decision = (name: string, devpath: string, at: number, result: ProbeResult, loads: readonly ModuleLoad[], rule?: RuleSource): Decision => ({
    name, devpath, ...(rule ? { rule } : {}), at, ms: system.clock.now() - at, modules: decidedModules(result), loads,
  });

  return {
    async request(name, devpath, rule) {
      const at = system.clock.now();
      const loads: ModuleLoad[] = [];
      // What was asked before a reload must not be remembered after it.
      const kept = unknown;
      const known = answered?.get(name) ?? kept.get(name);
      const shared = known === undefined ? underWay.get(name) : undefined;
      const result = known ?? await (shared ?? start(name, (each) => loads.push(each)));
      if (!result) return undefined;
      answered?.set(name, result);
      if (result.goals.length === 0 && kept.size < UNKNOWN_MAX) kept.set(name, result);
      // Told once in the log; who keeps account hears of each device.
      if (!known && !shared) logOutcomes(system, [{ modalias: name, devices: [devpath], result }]);
      onResult?.({ name, devpath, result, decision: decision(name, devpath, at, result, loads, rule) });
      return result;
    },
    async requestForKernel(name) {
      const at = system.clock.now();
      const loads: ModuleLoad[] = [];
      const result = await load(name, (each) => loads.push(each), true);
      if (!result) return undefined;
      logOutcomes(system, [{ modalias: name, devices: [KERNEL_REQUEST], result }]);
      onResult?.({ name, devpath: KERNEL_REQUEST, result, decision: decision(name, KERNEL_REQUEST, at, result, loads) });
      return result;
    },
    loading: () => [...underWay.keys()],
    idle: () => (underWay.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    beginWalk() {
      answered = new Map();
    },
    endWalk() {
      answered = undefined;
    },
    reload() {
      unknown = new Map();
      kmod.reload();
    },
  };
}
