// What configuration, indexes, the kernel and the journal say of one module.

import { existsSync } from 'node:fs';

import { readKernelLog } from '../kmod/kmsg.ts';
import type { Kmod } from '../kmod/kmod.ts';
import { liveOf } from '../kmod/live.ts';
import { ModuleRules } from '../kmod/module-rules.ts';
import type { ModuleLoad } from '../kmod/probe.ts';
import { isOfRunningKernel, TreeImages } from '../kmod/tree-images.ts';
import type { System } from '../system.ts';
import type { Decision } from '../udev/decision-record.ts';
import type { AliasLine, ConfigLine, ModuleFacts, NeedFacts, SoftdepFacts } from './facts.ts';

/** Lines of the kernel that are shown of one module. */
const KERNEL_LINES_MAX = 8;

export interface ModuleReader {
  readonly rules: ModuleRules;
  of(module: string, line?: AliasLine): Promise<ModuleFacts>;
  /** Without those that others of them need. */
  direct(module: string): readonly string[];
}

/** `withSymbols`: the files of modules are read for the symbols that they need. */
export function openModuleReader(system: System, kmod: Kmod, decisions: readonly Decision[], { withSymbols = false } = {}): ModuleReader {
  const { config, db } = kmod.facts;
  const rules = new ModuleRules(config, db);
  const isRunning = isOfRunningKernel(system);
  const live = liveOf(system, isRunning);
  const images = new TreeImages(system, db);
  const loads = new Map<string, ModuleLoad>();
  for (const decision of decisions) for (const load of decision.loads) loads.set(load.module, load);
  let depText: string | undefined;
  let kernelLog: readonly string[] | undefined;

  const direct = (module: string): readonly string[] => {
    const { needs } = rules.of(module);
    const behind = new Set(needs.flatMap((need) => rules.of(need).needs));
    return needs.filter((need) => !behind.has(need));
  };
  const symbolsOf = async (module: string): Promise<ReadonlyMap<string, string[]> | undefined> => {
    const { facts } = await images.examine(rules.of(module).path);
    if (!facts) return undefined;
    const { needs } = rules.of(module);
    const byOwner = new Map<string, string[]>();
    for (const { name } of facts.needs) {
      const owner = db.symbols(`symbol:${name}`).map(({ value }) => value).find((each) => needs.includes(each));
      if (owner !== undefined) byOwner.set(owner, [...byOwner.get(owner) ?? [], name]);
    }
    return byOwner;
  };
  const needsOf = async (module: string): Promise<NeedFacts[]> => {
    const symbols = withSymbols ? await symbolsOf(module) : undefined;
    // What is needed for no symbol is needed by another of them.
    const owners = symbols ? rules.of(module).needs.filter((need) => symbols.has(need)) : direct(module);
    return owners.map((need) => ({ module: need, symbols: symbols?.get(need) }));
  };
  return {
    rules, direct,
    async of(module, line) {
      const facts = rules.of(module);
      const statePath = `${system.roots.sys}/module/${module}/initstate`;
      const seen = facts.builtin ? undefined : live.state(module);
      // A directory without initstate is a part of the kernel that runs, whatever the indexes of another say.
      const isPart = seen === 'coming' && !existsSync(statePath);
      const state = isPart ? undefined : seen;
      const path = db.dependencies(module)?.path;
      depText ??= db.source.readText('modules.dep') ?? '';
      const at = path === undefined ? -1 : depText.startsWith(`${path}:`) ? 0 : depText.indexOf(`\n${path}:`) + 1;
      const load = loads.get(module);
      const failed = isRunning && state === undefined && !facts.builtin && !isPart && load?.failure === undefined;
      return {
        module, path: facts.path, builtin: facts.builtin || line?.builtin === true || isPart, state, statePath,
        dependencies: { file: db.source.resolve('modules.dep'), ...(at < 0 || depText === '' ? {} : { line: linesBefore(depText, at) + 1 }) },
        needs: await needsOf(module), softdeps: softdepsOf(module), config: configOf(module, line?.alias), load,
        ...(isRunning ? {} : { otherRelease: system.release }),
        kernelLines: failed ? aboutModule(module, kernelLog ??= readKernelLog(system)) : [],
      };
    },
  };

  function softdepsOf(module: string): SoftdepFacts[] {
    const { pre, post } = rules.of(module);
    return [
      ...pre.map(({ name, source }): SoftdepFacts => ({ kind: 'pre', owner: module, module: name, source })),
      ...post.map(({ name, source }): SoftdepFacts => ({ kind: 'post', owner: module, module: name, source })),
    ];
  }

  function configOf(module: string, alias: string | undefined): ConfigLine[] {
    const { deny, install } = rules.of(module);
    const blacklist = rules.blacklistOf(module);
    const options = config.options.filter((line) => line.module === module || line.module === alias);
    return [
      ...options.map(({ module: name, params, source }): ConfigLine => ({ kind: 'options', text: `${name} ${params}`, source })),
      ...(blacklist ? [{ kind: 'blacklist', text: module, source: blacklist.source } as const] : []),
      ...(deny ? [{ kind: 'deny', text: deny.module, source: deny.source } as const] : []),
      ...(install ? [{ kind: 'install', text: `${install.module} ${install.command}`, source: install.source } as const] : []),
    ];
  }
}

/** `[  12.3] NAME: …` and lines that have the name as a word; `-` and `_` are one. */
function aboutModule(module: string, lines: readonly string[]): string[] {
  const word = new RegExp(`(?:^|[^a-z0-9_])${module.replace(/[^a-z0-9_]/gi, '\\$&')}(?:$|[^a-z0-9_])`, 'i');
  return lines.filter((line) => word.test(line.replaceAll('-', '_'))).slice(-KERNEL_LINES_MAX);
}

function linesBefore(text: string, at: number): number {
  let lines = 0;
  for (let newline = text.indexOf('\n'); newline >= 0 && newline < at; newline = text.indexOf('\n', newline + 1)) lines++;
  return lines;
}
