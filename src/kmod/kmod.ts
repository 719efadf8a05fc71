// All that modprobe does, as one object: look up, plan, execute, over one machine and its modules.

import type { System } from '../system.ts';
import { type ConfigOptions, loadConfig } from './config-files.ts';
import type { Config } from './config.ts';
import { LiveModules } from './live.ts';
import type { ExecuteOptions, Loader, LoaderOptions } from './loader.ts';
import type { Match } from './lookup.ts';
import { ModuleDb } from './module-db.ts';
import type { ModuleSource } from './module-source.ts';
import { Planner, type PlanOptions } from './plan.ts';
import type { ProbePlan, ProbeResult } from './probe.ts';
import { rehearse } from './rehearsal.ts';
import { openTree } from './tree-source.ts';

export interface Kmod {
  readonly source: ModuleSource;
  /** The modules that a name or alias stands for; empty when nothing knows it. */
  lookup(name: string): readonly Match[];
  /** What is configured and indexed, as `modprobe -c` shows it. */
  readonly facts: { readonly config: Config; readonly db: ModuleDb };
  /** What would be done for a name, and why. Executes nothing. */
  plan(name: string, options?: PlanOptions): ProbePlan;
  /**
   * Executes a plan. Plans may run at the same time: loads of one module are shared, independent modules load in
   * parallel. Never rejects for a module that fails.
   */
  execute(plan: ProbePlan, options?: ExecuteOptions): Promise<ProbeResult>;
  /** Forgets configuration and indexes; the next plan reads them again. */
  reload(): void;
  close(): Promise<void>;
}

export type KmodOptions = ConfigOptions & LoaderOptions & {
  /** The modules; by default the tree of the system's release. */
  readonly source?: ModuleSource;
};

/** Reads nothing yet: configuration and indexes are read when first needed. */
export function openKmod(system: System, options: KmodOptions = {}): Kmod {
  const source = options.source ?? openTree(system);
  const live = new LiveModules(system);
  let loader: Promise<Loader> | undefined;
  // A dry run starts without it.
  const load = () => (loader ??= import('./loader.ts').then((module) => new module.Loader(system, source, live, options)));
  let current: Planner | undefined;
  const planner = () => (current ??= new Planner(loadConfig(system, source, options), new ModuleDb(source, system.log, { inParts: true }), live, options));
  const forget = () => {
    current?.db.close();
    current = undefined;
  };
  return {
    source,
    get facts() {
      return planner();
    },
    lookup: (name) => planner().lookup(name),
    plan: (name, planOptions) => planner().plan(name, planOptions),
    execute: async (plan, executeOptions) => (
      executeOptions?.dryRun ? rehearse(plan, live, executeOptions, options.strict) : (await load()).execute(plan, executeOptions)
    ),
    reload: forget,
    close: async () => {
      forget();
      await (await loader)?.close();
    },
  };
}
