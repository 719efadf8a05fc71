// What of a module tree is in the way of finding a module: no tree, no indexes, indexes older than the files, a name that nothing has.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { moduleNameOfPath, normalizeModuleName } from './alias.ts';
import { place } from './doctor-config.ts';
import type { Finding } from './doctor.ts';
import type { Kmod } from './kmod.ts';
import type { Match } from './lookup.ts';
import { ModuleDb } from './module-db.ts';
import { nearNames } from './near-names.ts';
import { hasIndexes } from './module-source.ts';
import { openTreeDirectory } from './tree-source.ts';

/** What is diagnosed. */
export type DiagnosedTree = {
  readonly system: System;
  readonly kmod: Kmod;
  /** What -b of depmod would be, for proposals. */
  readonly directory: string | undefined;
  /** The tree is that of the kernel that runs. */
  readonly running: boolean;
};

/** A walk ends here: full distributions have some 5000 files. */
const MAX_TREE_FILES = 200_000;
const MAX_DEPTH = 32;
/** Trees of other releases that are asked for a name. */
const MAX_TREES = 16;

const MODULE_FILE = /\.ko(?:\.(?:gz|xz|zst))?$/;

/** Of the tree as a whole. */
export function treeFindings(target: string, tree: DiagnosedTree): Finding[] {
  const { system, kmod, running } = tree;
  const { name, release } = kmod.source;
  if (kmod.source.kind === 'tree' && !existsSync(name)) {
    const others = otherReleases(tree);
    return [{
      kind: 'no-tree', level: 'problem',
      text: `there are no modules of ${running ? 'the running kernel' : 'kernel'} ${release}: ${name} does not exist`,
      evidence: others.length === 0 ? ['there are none of any other kernel either'] : [
        `there are modules of ${others.join(', ')}`,
        ...knownElsewhere(target, tree).map((other) => `kernel ${other} has ${target}`),
        ...(running ? ['a package upgrade may have taken them away; after a reboot the kernel and its modules are one again'] : []),
      ],
      ...(others.length === 0 ? {} : { propose: running ? 'reboot' : `ls ${join(name, '..')}` }),
    }];
  }
  if (hasIndexes(kmod.source)) return [];
  return [{
    kind: 'no-indexes', level: 'problem', text: `there are no indexes in ${name}: nothing in it is found by name`,
    evidence: [`${kmod.source.resolve('modules.dep')} does not exist`, ...filesOf(target, tree).map((file) => `${file} does`)], propose: depmodCommand(tree, system.release),
  }];
}

/** Of a module that was found: whether the indexes still fit its file. */
export function indexFindings({ module, alias, reason }: Match, tree: DiagnosedTree): Finding[] {
  const { kmod } = tree;
  const path = kmod.facts.db.dependencies(module)?.path;
  if (path === undefined) {
    if (kmod.facts.config.install.some((directive) => directive.module === module)) return [];
    const where = reason.source === undefined ? '' : ` by ${place(reason.source)}`;
    if (alias !== undefined) {
      return [{
        kind: 'dead-alias', level: 'problem', module, text: `${reason.from} is an alias of ${module}${where}, and there is no module of that name`,
        ...(reason.source === undefined ? {} : { source: reason.source }),
      }];
    }
    return unknownFindings(module, tree);
  }
  // An image has its indexes from the same time, and merged ones are never old.
  if (kmod.source.kind !== 'tree') return [];
  const file = kmod.source.resolve(path);
  const changed = timeOf(file);
  const indexed = Math.max(timeOf(kmod.source.resolve('modules.dep.bin')) ?? 0, timeOf(kmod.source.resolve('modules.dep')) ?? 0);
  if (changed === undefined || changed <= indexed) return [];
  return [{
    kind: 'stale-index', level: 'note', module, text: `the file of ${module} is newer than the indexes: what they say it needs may be wrong`,
    evidence: [`${file} of ${iso(changed)}`, `${kmod.source.resolve('modules.dep')} of ${iso(indexed)}`], propose: depmodCommand(tree, kmod.source.release),
  }];
}

/** Of a name that no index has. Where there are no indexes, or no tree, that is no wonder. */
export function unknownFindings(target: string, tree: DiagnosedTree): Finding[] {
  const { kmod } = tree;
  const { release } = kmod.source;
  if (kmod.source.kind === 'tree' && !existsSync(kmod.source.name)) return [];
  const name = normalizeModuleName(target);
  const own = filesOf(target, tree);
  if (own.length > 0) {
    if (!hasIndexes(kmod.source)) return [];
    return [{
      kind: 'stale-index', level: 'problem', module: name, text: `${name} is there, and the indexes do not know it: they are older, or depmod left it out`,
      evidence: own, propose: depmodCommand(tree, release),
    }];
  }
  // A modalias is not mistyped: nothing is near it.
  const near = target.includes(':') ? [] : nearNames(name, [...moduleFiles(tree).map(moduleNameOfPath), ...builtinNames(tree)]);
  const elsewhere = knownElsewhere(target, tree);
  const [nearest] = near;
  return [{
    kind: 'unknown-name', level: 'problem',
    text: target.includes(':') ? `no module of ${release} claims ${target}` : `no module or alias of ${release} is called ${target}: it was never built, or is in a package that is not installed`,
    ...(near.length + elsewhere.length === 0 ? {} : { evidence: [
      ...(near.length === 0 ? [] : [`names like it: ${near.join(', ')}`]),
      ...(elsewhere.length === 0 ? [] : [`kernel ${elsewhere.join(', ')} has it`]),
    ] }),
    ...(nearest === undefined ? {} : { propose: `modprobe ${nearest}` }),
  }];
}

/** depmod for the tree in question. */
export function depmodCommand({ directory }: DiagnosedTree, release: string): string {
  return `depmod ${directory === undefined || directory === '' ? '' : `-b ${directory} `}-a ${release}`;
}

/** Releases that there are trees of, newest name last; that of `tree` left out. */
function otherReleases({ system, kmod }: DiagnosedTree): string[] {
  const names = MODULE_DIRECTORIES.flatMap((directory) => list(system, join(system.roots.modules || '/', directory)).map(({ name }) => name));
  return [...new Set(names)].filter((name) => name !== kmod.source.release)
    .filter((name) => MODULE_DIRECTORIES.some((directory) => existsSync(join(system.roots.modules || '/', directory, name, 'kernel')) ||
      existsSync(join(system.roots.modules || '/', directory, name, 'modules.dep')))).sort();
}

const MODULE_DIRECTORIES = ['lib/modules', 'usr/lib/modules'];

/** Files of that name in the tree, as people see them. */
function filesOf(target: string, tree: DiagnosedTree): string[] {
  const name = normalizeModuleName(target);
  return moduleFiles(tree).filter((file) => moduleNameOfPath(file) === name).map((file) => tree.kmod.source.resolve(file));
}

/** Other releases that have a module of that name. */
function knownElsewhere(target: string, tree: DiagnosedTree): string[] {
  return otherReleases(tree).slice(0, MAX_TREES).filter((other) => hasModule(other, normalizeModuleName(target), tree));
}

function hasModule(release: string, name: string, { system }: DiagnosedTree): boolean {
  return MODULE_DIRECTORIES.some((directory) => {
    const path = join(system.roots.modules || '/', directory, release);
    return new ModuleDb(openTreeDirectory(path, release), system.log).dependencies(name) !== undefined;
  });
}

function builtinNames({ kmod }: DiagnosedTree): string[] {
  const text = kmod.source.readText('modules.builtin') ?? '';
  return text.split('\n').filter((line) => line !== '').map(moduleNameOfPath);
}

/** Paths of module files below the tree. Links to directories (`build`, `source`) are not followed. */
function moduleFiles({ system, kmod }: DiagnosedTree): string[] {
  if (kmod.source.kind !== 'tree') return kmod.facts.db.modules().flatMap(({ module }) => kmod.facts.db.dependencies(module)?.path ?? []);
  const files: string[] = [];
  const pending = [{ path: '', depth: 0 }];
  for (let next = pending.pop(); next && files.length < MAX_TREE_FILES; next = pending.pop()) {
    for (const entry of list(system, join(kmod.source.name, next.path))) {
      const path = next.path === '' ? entry.name : `${next.path}/${entry.name}`;
      if (entry.isDirectory() && next.depth < MAX_DEPTH) pending.push({ path, depth: next.depth + 1 });
      else if (!entry.isDirectory() && MODULE_FILE.test(entry.name)) files.push(path);
    }
  }
  return files.sort();
}

function list(system: System, directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.warn({ code: 'unreadable', file: directory, message: `could not read ${directory}: ${messageOf(error)}` });
    return [];
  }
}

function timeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function iso(time: number): string {
  return new Date(time).toISOString().slice(0, 19);
}
