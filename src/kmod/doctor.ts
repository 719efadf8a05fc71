// Why a module cannot be found or loaded: a diagnosis as data, the gravest finding first.

import type { System } from '../system.ts';
import { moduleNameOfPath, normalizeModuleName } from './alias.ts';
import { configFindings } from './doctor-config.ts';
import { imageFindings } from './doctor-image.ts';
import { kernelFindings } from './doctor-kernel.ts';
import { type DiagnosedTree, indexFindings, treeFindings, unknownFindings } from './doctor-tree.ts';
import type { Kmod } from './kmod.ts';
import { isModuleName } from './live.ts';
import type { Match } from './lookup.ts';
import { ModuleRules } from './module-rules.ts';
import type { Source } from './probe.ts';
import { readText, TreeImages } from './tree-images.ts';

/** Each is stable: `--json` prints it. */
export type FindingKind =
  | 'no-module-support' | 'modules-disabled'
  | 'no-tree' | 'no-indexes' | 'stale-index' | 'unknown-name' | 'dead-alias'
  | 'denied' | 'blacklisted' | 'install-command'
  | 'missing-file' | 'unreadable-file' | 'damaged-file'
  | 'wrong-vermagic' | 'missing-symbol' | 'unlisted-dependency' | 'symbol-mismatch' | 'missing-namespace'
  | 'unsigned' | 'untrusted-signature' | 'compression' | 'in-transition';

export type Finding = {
  readonly kind: FindingKind;
  /** `problem`: in the way of the load, or of the one that was meant. `note`: worth knowing, and not in the way. */
  readonly level: 'problem' | 'note';
  /** The module that it is about, which may be one that is needed; absent where it is about the machine. */
  readonly module?: string;
  /** One sentence without its full stop. */
  readonly text: string;
  /** What shows it, a line each. */
  readonly evidence?: readonly string[];
  /** The line of configuration that it comes from. */
  readonly source?: Source;
  /** A command that may help. */
  readonly propose?: string;
};

export type Diagnosis = {
  readonly target: string;
  readonly release: string;
  /** The directory that was looked into. */
  readonly tree: string;
  /** What the name stands for; empty when nothing has it. */
  readonly modules: readonly string[];
  /** `loaded` and `builtin`: all of `modules` are in the kernel. `loadable`: nothing is in the way. */
  readonly status: 'loaded' | 'builtin' | 'loadable' | 'broken' | 'unknown';
  readonly verdict: string;
  /** Problems first, each with what it depends on before it. */
  readonly findings: readonly Finding[];
  /** Of `loadable`: how. */
  readonly propose?: string;
};

export type DiagnoseOptions = {
  /** The directory that `depmod -b` and `modprobe -d` would be given, for proposals. */
  readonly directory?: string | undefined;
};

/** Changes nothing. Reads the module's file and those of the modules it needs. */
export async function diagnose(system: System, kmod: Kmod, target: string, { directory }: DiagnoseOptions = {}): Promise<Diagnosis> {
  const images = new TreeImages(system, kmod.facts.db);
  const tree: DiagnosedTree = { system, kmod, directory, running: images.isRunning };
  const path = /^\.{0,2}\//.test(target) ? target : undefined;
  const matches = path === undefined ? kmod.lookup(target) : [matchOfPath(path)];
  const modules = [...new Set(matches.map(({ module }) => module))];
  const verdictOf = (status: Diagnosis['status'], verdict: string, findings: readonly Finding[] = []): Diagnosis =>
    ({ target, release: system.release, tree: kmod.source.name, modules, status, verdict, findings });

  const states = matches.map((match) => stateOf(match, tree, images));
  // Loaded, though no index may know it any more.
  const own = normalizeModuleName(target);
  if (matches.length === 0 && images.isLoaded(own)) return { ...verdictOf('loaded', `${own} is loaded`), modules: [own] };
  if (matches.length > 0 && states.every((state) => state !== undefined)) {
    const status = states.includes('loaded') ? 'loaded' : 'builtin';
    return verdictOf(status, `${subject(target, modules)} is ${status === 'loaded' ? 'loaded' : 'built into the kernel'}`);
  }

  const findings: Finding[] = kernelFindings(tree);
  const [hopeless] = findings.filter(({ kind }) => kind === 'no-module-support');
  if (hopeless) return verdictOf('broken', hopeless.text, findings);
  findings.push(...(path === undefined ? treeFindings(target, tree) : []));
  if (matches.length === 0) findings.push(...unknownFindings(target, tree));
  else {
    const rules = new ModuleRules(kmod.facts.config, kmod.facts.db);
    for (const [index, match] of matches.entries()) {
      if (states[index] !== undefined) continue;
      findings.push(...configFindings(match, target, rules), ...transitionFindings(match.module, tree));
      if (path === undefined) findings.push(...indexFindings(match, tree));
      for (const module of [...rules.of(match.module).needs].toReversed()) {
        if (!images.isLoaded(module)) findings.push(...await imageFindings(module, rules.of(module).path, tree, images));
      }
      const file = path ?? rules.of(match.module).path;
      if (file !== '') findings.push(...await imageFindings(match.module, file, tree, images));
    }
  }
  const problems = findings.filter(({ level }) => level === 'problem');
  const ordered = [...problems, ...findings.filter(({ level }) => level === 'note')];
  const [first] = problems;
  if (first) return verdictOf(matches.length === 0 ? 'unknown' : 'broken', first.text, ordered);
  const loadable = verdictOf('loadable', `${subject(target, modules)} is not loaded, and nothing that can be seen is in its way`, ordered);
  const where = directory === undefined || directory === '' ? '' : `-d ${directory} `;
  return tree.running ? { ...loadable, propose: path === undefined ? `modprobe ${where}${target}` : `insmod ${path}` } : loadable;
}

/** Undefined for a module that is not in the kernel. */
function stateOf(match: Match, { kmod }: DiagnosedTree, images: TreeImages): 'loaded' | 'builtin' | undefined {
  if (images.isLoaded(match.module)) return 'loaded';
  const { db } = kmod.facts;
  return match.builtin || (!db.dependencies(match.module) && db.isBuiltin(match.module)) ? 'builtin' : undefined;
}

/** Modules whose init hangs stay so until the next boot. */
function transitionFindings(module: string, { system, running }: DiagnosedTree): Finding[] {
  const file = `${system.roots.sys}/module/${module}/initstate`;
  const state = running && isModuleName(module) ? readText(system, file)?.trim() : undefined;
  if (state !== 'coming' && state !== 'going') return [];
  const text = state === 'coming' ? `${module} is being loaded: its init has not ended` : `${module} is being removed`;
  return [{ kind: 'in-transition', level: 'note', module, text, evidence: [`${file} is ${state}`], propose: 'dmesg | tail' }];
}

function subject(target: string, modules: readonly string[]): string {
  const names = modules.join(', ');
  return names === target || names === normalizeModuleName(target) ? names : `${names} (${target})`;
}

function matchOfPath(path: string): Match {
  return { module: moduleNameOfPath(path), alias: undefined, builtin: false, reason: { kind: 'requested', from: path } };
}

