// Who pulls a module in: devices with a modalias of it, loaded modules that need it, softdeps, rules, requests, and lists of the boot.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf } from '../errors.ts';
import { normalizeModuleName } from '../kmod/alias.ts';
import type { Kmod } from '../kmod/kmod.ts';
import { liveOf } from '../kmod/live.ts';
import { isOfRunningKernel } from '../kmod/tree-images.ts';
import { readLatin1 } from '../kmod/text-file.ts';
import type { Source } from '../kmod/probe.ts';
import type { System } from '../system.ts';
import type { Decision } from '../udev/decision-record.ts';
import { enumerate } from '../udev/enumerate.ts';
import { openDevice } from '../udev/sysfs-device.ts';
import type { RuleSet } from '../udev/rules/rule.ts';
import { type AliasText, aliasLines } from './alias-lines.ts';
import type { AliasLine, PullFacts, PullingDevice, SoftdepFacts } from './facts.ts';
import { deviceFacts } from './read-device.ts';
import { loadRules } from './read-rule.ts';

/** Modules that are looked at on the way to a device or request. Chains of holders are short. */
const MODULES_MAX = 256;
/** Directories of modules-load.d(5), and the file that Debian has beside them. */
const LIST_DIRECTORIES = ['etc', 'run', 'usr/local/lib', 'usr/lib', 'lib'].map((directory) => `${directory}/modules-load.d`);
const LIST_FILE = 'etc/modules';

export type PullContext = {
  readonly kmod: Kmod;
  readonly rules: RuleSet;
  readonly decisions: readonly Decision[];
  readonly index: AliasText;
  /** Modules that one needs directly. */
  readonly direct: (module: string) => readonly string[];
};

/** Of these modules first, then of those that need them, until nothing new comes. */
export function readPulls(system: System, modules: readonly string[], byModule: ReadonlyMap<string, readonly PullingDevice[]>, context: PullContext): PullFacts[] {
  const live = liveOf(system, isOfRunningKernel(system));
  const { config } = context.kmod.facts;
  const lists = modulesLoadLists(system);
  const named = loadRules(context.rules).flatMap(({ names, command, line }) => names.map((name) => ({ name: normalizeModuleName(name), command, source: { file: line.file, line: line.line } })));
  const softdeps: SoftdepFacts[] = config.softdeps.flatMap(({ module, pre, post, source }) => [
    ...pre.map((name): SoftdepFacts => ({ kind: 'pre', owner: module, module: normalizeModuleName(name), source })),
    ...post.map((name): SoftdepFacts => ({ kind: 'post', owner: module, module: normalizeModuleName(name), source })),
  ]);
  const pulls = new Map<string, PullFacts>();
  const queue = [...modules];
  for (let module = queue.shift(); module !== undefined && pulls.size < MODULES_MAX; module = queue.shift()) {
    if (pulls.has(module)) continue;
    const own = module;
    const holders = live.holders(own);
    const needing = holders.filter((holder) => context.direct(holder).includes(own));
    const pull: PullFacts = {
      module: own,
      devices: byModule.get(own) ?? [],
      // A holder by symbol_get() is no dependency of the indexes.
      holders: needing.length > 0 ? needing : holders,
      softdeps: softdeps.filter((softdep) => softdep.module === own && live.state(softdep.owner) !== undefined),
      rules: named.filter(({ name }) => name === own).map(({ command, source }) => ({ command, source })),
      decisions: context.decisions.filter((decision) => decision.modules.some((decided) => decided.module === own)),
      lists: lists.filter(({ module: listed }) => listed === own).map(({ source }) => source),
    };
    pulls.set(own, pull);
    queue.push(...pull.holders, ...pull.softdeps.map(({ owner }) => owner), ...pull.decisions.flatMap(({ modules: decided }) => (
      decided.flatMap(({ module: name, reason }) => (name === own && reason.kind === 'dep' ? [reason.from] : [])))));
  }
  return [...pulls.values()];
}

/** The devices of the machine by the modules that their modaliases lead to: one walk of /sys. */
export async function devicesByModule(system: System, { kmod, index }: Pick<PullContext, 'kmod' | 'index'>): Promise<Map<string, PullingDevice[]>> {
  const byModule = new Map<string, PullingDevice[]>();
  const lines = new Map<string, readonly AliasLine[]>();
  for (const { devpath, modalias } of await enumerate(system)) {
    if (modalias === undefined || modalias === '') continue;
    const known = lines.get(modalias) ?? aliasLines(kmod.lookup(modalias), index);
    lines.set(modalias, known);
    const device = known.length === 0 ? undefined : openDevice(system, devpath);
    if (!device) continue;
    for (const line of known) {
      const pulling = { device: deviceFacts(device), line };
      const list = byModule.get(line.module);
      if (list) list.push(pulling);
      else byModule.set(line.module, [pulling]);
    }
  }
  return byModule;
}

function modulesLoadLists({ roots: { config } }: System): { readonly module: string; readonly source: Source }[] {
  const seen = new Set<string>();
  const files = LIST_DIRECTORIES.flatMap((directory) => namesIn(join(config, '/', directory)).flatMap((name) => {
    if (!name.endsWith('.conf') || seen.has(name)) return [];
    seen.add(name);
    return [join(config, '/', directory, name)];
  }));
  return [...files, join(config, '/', LIST_FILE)].flatMap((file) => (
    readLines(file).flatMap((text, i) => {
      const [module = ''] = text.trim().split(/\s+/);
      return module === '' || /^[#;]/.test(module) ? [] : [{ module: normalizeModuleName(module), source: { file, line: i + 1 } }];
    })
  ));
}

function namesIn(directory: string): readonly string[] {
  return unlessMissing(() => readdirSync(directory).sort()) ?? [];
}

function readLines(file: string): readonly string[] {
  return unlessMissing(() => readLatin1(file).split('\n')) ?? [];
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}
