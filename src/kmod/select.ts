// Which modules and firmware are wanted together, each with its reasons: the plan of a bundle or an initramfs, as plain data.

import type { Config } from './config.ts';
import { lookup } from './lookup.ts';
import type { ModuleDb } from './module-db.ts';
import { ModuleRules } from './module-rules.ts';

/** A device of a machine, as its sysfs says it: `devpath` begins with a slash, below /sys. */
export type NeedyDevice = { readonly devpath: string; readonly modalias: string };
export type NeedyMachine = { readonly root: string; readonly devices: readonly NeedyDevice[] };

export type SelectRequest = {
  /** Module names and aliases, as modprobe takes them. */
  readonly names?: readonly string[];
  /** Globs over paths as modules.dep writes them, with or without the ending of the file: `kernel/fs/xfs/*`. */
  readonly globs?: readonly string[];
  readonly machines?: readonly NeedyMachine[];
  /** Also what weakdep lines name. */
  readonly weakdeps?: boolean;
};

/** `from` is the name, alias or glob as it was asked, the modalias of a device, or the module that wants this one. */
export type SelectReason =
  | { readonly kind: 'name' | 'glob'; readonly from: string }
  | { readonly kind: 'alias'; readonly from: string; readonly pattern: string }
  | { readonly kind: 'device'; readonly from: string; readonly pattern: string; readonly devpath: string; readonly root: string }
  | { readonly kind: 'dep' | 'softdep' | 'weakdep' | 'firmware'; readonly from: string };

/** A module of the selection; `path` as modules.dep writes it. */
export type SelectedModule = { readonly module: string; readonly path: string; readonly reasons: readonly SelectReason[] };

/** What was asked for, or is needed, and is not there. */
export type MissingPart = { readonly kind: 'name' | 'glob' | 'module' | 'firmware'; readonly name: string; readonly reasons: readonly SelectReason[] };

export type ModuleSelection = {
  /** By path. */
  readonly modules: readonly SelectedModule[];
  /** Names that were asked for and that the kernel has without a file. */
  readonly builtin: readonly string[];
  readonly missing: readonly MissingPart[];
};

export type SelectedFile = {
  readonly kind: 'module' | 'firmware';
  /** The module's name; the firmware's as `modinfo -F firmware` gives it. */
  readonly name: string;
  /** Of a module: as modules.dep writes it. Of firmware: below lib/firmware, with the ending of a compressed file. */
  readonly path: string;
  /** The file on this machine, of firmware only: modules are opened by their source. */
  readonly from?: string;
  /** In the file, compressed if it is. */
  readonly bytes: number;
  readonly reasons: readonly SelectReason[];
};

export type Selection = {
  /** Modules, then firmware, each by path. */
  readonly files: readonly SelectedFile[];
  readonly builtin: readonly string[];
  readonly missing: readonly MissingPart[];
};

/** `matches(path, glob)`: minimatch, which is loaded only where there are globs. */
export type SelectContext = { readonly config: Config; readonly db: ModuleDb; readonly matches: (path: string, glob: string) => boolean };

/**
 * The modules that a request names, closed over what they need, their softdeps and, on request, their weakdeps. Softdeps and weakdeps that
 * nothing knows, and devices that no module claims, are not missing: kernels have many of both.
 */
export function selectModules(request: SelectRequest, { config, db, matches }: SelectContext): ModuleSelection {
  const rules = new ModuleRules(config, db);
  const reasons = new Map<string, SelectReason[]>();
  const builtin = new Set<string>();
  const missing: MissingPart[] = [];
  const queue: string[] = [];
  const want = (module: string, reason: SelectReason): void => {
    const known = reasons.get(module);
    if (known) {
      known.push(reason);
      return;
    }
    reasons.set(module, [reason]);
    queue.push(module);
  };
  /** False where nothing knows the name. */
  const wantNamed = (name: string, reasonOf: (module: string, pattern: string | undefined) => SelectReason): boolean => {
    const found = lookup(name, config, db);
    const seen = new Set<string>();
    for (const { module, reason, alias } of found) {
      if (seen.has(module)) continue;
      seen.add(module);
      if (db.dependencies(module)) want(module, reasonOf(module, alias === undefined || reason.kind !== 'alias' ? undefined : reason.pattern));
      else if (db.isBuiltin(module)) builtin.add(module);
    }
    return found.length > 0;
  };

  for (const name of request.names ?? []) {
    const known = wantNamed(name, (_, pattern) => (pattern === undefined ? { kind: 'name', from: name } : { kind: 'alias', from: name, pattern }));
    if (!known) missing.push({ kind: 'name', name, reasons: [] });
  }
  const globs = request.globs ?? [];
  const paths = globs.length === 0 ? [] : db.modules().map(({ module }) => ({ module, path: db.dependencies(module)?.path ?? '' }));
  for (const glob of globs) {
    const named = paths.filter(({ path }) => matches(path, glob) || matches(path.replace(/\.ko(?:\.\w+)?$/, ''), glob));
    for (const { module } of named) want(module, { kind: 'glob', from: glob });
    if (named.length === 0) missing.push({ kind: 'glob', name: glob, reasons: [] });
  }
  for (const { root, devices } of request.machines ?? []) {
    for (const { devpath, modalias } of devices) {
      wantNamed(modalias, (_, pattern) => ({ kind: 'device', from: modalias, pattern: pattern ?? modalias, devpath, root }));
    }
  }

  const weakOf = request.weakdeps ? weakdepsOf(config) : undefined;
  for (let module = queue.pop(); module !== undefined; module = queue.pop()) {
    const from = module;
    const { needs, pre, post } = rules.of(module);
    for (const need of needs) want(need, { kind: 'dep', from });
    for (const { name } of [...pre, ...post]) wantNamed(name, () => ({ kind: 'softdep', from }));
    for (const name of weakOf?.get(module) ?? []) wantNamed(name, () => ({ kind: 'weakdep', from }));
  }

  const modules: SelectedModule[] = [];
  for (const [module, why] of reasons) {
    const path = db.dependencies(module)?.path;
    if (path === undefined) missing.push({ kind: 'module', name: module, reasons: why });
    else modules.push({ module, path, reasons: why });
  }
  return { modules: modules.sort((a, b) => order(a.path, b.path)), builtin: [...builtin].sort(), missing };
}

/**
 * What would go with one file, itself included: the modules that cannot be loaded without it, and what is there only for the sake of these.
 * Paths as in the selection, in its order; empty for a path that it does not have.
 */
export function goesWith(selection: Selection, path: string): { readonly paths: readonly string[]; readonly bytes: number } {
  const gone = new Set(selection.files.filter((file) => file.path === path));
  if (gone.size === 0) return { paths: [], bytes: 0 };
  const modules = new Map(selection.files.flatMap((file) => (file.kind === 'module' ? [[file.name, file] as const] : [])));
  // A set visits what is added to it on the way.
  for (const file of gone) {
    for (const { kind, from } of file.reasons) {
      const dependent = kind === 'dep' ? modules.get(from) : undefined;
      if (dependent) gone.add(dependent);
    }
  }
  const kept = new Set(selection.files.filter((file) => !gone.has(file) && file.reasons.some(isAsked)));
  const wanted = new Map<string, SelectedFile[]>();
  for (const file of selection.files) {
    for (const reason of file.reasons) {
      if (isAsked(reason)) continue;
      const list = wanted.get(reason.from);
      if (list) list.push(file);
      else wanted.set(reason.from, [file]);
    }
  }
  for (const keeper of kept) {
    if (keeper.kind === 'firmware') continue;
    for (const file of wanted.get(keeper.name) ?? []) if (!gone.has(file)) kept.add(file);
  }
  const files = selection.files.filter((file) => !kept.has(file));
  return { paths: files.map((file) => file.path), bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Of what a person typed, which are globs of paths and which are names or aliases: aliases have wildcards too, but behind a colon. */
export function splitPatterns(patterns: readonly string[]): { readonly globs: readonly string[]; readonly names: readonly string[] } {
  const isGlob = (pattern: string): boolean => /[/*?[]/.test(pattern) && !pattern.includes(':');
  return { globs: patterns.filter(isGlob), names: patterns.filter((pattern) => !isGlob(pattern)) };
}

/** Asked for by the request itself, not by another module. */
function isAsked({ kind }: SelectReason): boolean {
  return kind === 'name' || kind === 'glob' || kind === 'alias' || kind === 'device';
}

function weakdepsOf(config: Config): Map<string, string[]> {
  const weak = new Map<string, string[]>();
  for (const directive of config.weakdeps) weak.set(directive.module, [...(weak.get(directive.module) ?? []), ...directive.weak]);
  return weak;
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
