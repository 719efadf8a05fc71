// What one kernel's modules do for a device or a request: which module, built in, or what of it is missing.

import { moduleNameOfPath } from '../kmod/alias.ts';
import type { Kmod } from '../kmod/kmod.ts';
import type { Source } from '../kmod/probe.ts';

/**
 * `module`: all files are there. `builtin`: the kernel has it. `missing`: `missing` are modules whose files are not there, itself or what it
 * needs. `blacklisted` and `denied`: `source` says so.
 */
export type ModuleAnswer = {
  readonly module: string;
  readonly status: 'module' | 'builtin' | 'missing' | 'blacklisted' | 'denied';
  readonly missing: readonly string[];
  readonly source?: Source;
};

/** The modules for a modalias or another alias, as modprobe would take them; none where no index knows it. The first of a name counts. */
export function answersFor(kmod: Kmod, alias: string): readonly ModuleAnswer[] {
  const answers = new Map<string, ModuleAnswer>();
  for (const { module, status, source } of kmod.plan(alias, { useBlacklist: 'all', ignoreLoaded: true }).goals) {
    if (answers.has(module)) continue;
    const isBarred = status === 'blacklisted' || status === 'denied';
    answers.set(module, isBarred ? { module, status, missing: [], ...(source ? { source } : {}) } : answerOf(kmod, module));
  }
  return [...answers.values()];
}

/** The module of this very name. */
export function answerOf(kmod: Kmod, module: string): ModuleAnswer {
  const { db } = kmod.facts;
  const dependencies = db.dependencies(module);
  if (!dependencies) return { module, status: db.isBuiltin(module) ? 'builtin' : 'missing', missing: db.isBuiltin(module) ? [] : [module] };
  const missing = [dependencies.path, ...dependencies.needs].filter((path) => !kmod.source.exists(path)).map(moduleNameOfPath);
  return { module, status: missing.length === 0 ? 'module' : 'missing', missing };
}

export function isUsable({ status }: ModuleAnswer): boolean {
  return status === 'module' || status === 'builtin';
}
