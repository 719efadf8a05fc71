// What lint says of install, remove, softdep and weakdep lines: commands that do not run, and names that stand for nothing.

import { fnmatch } from './alias.ts';
import type { CommandDirective, SoftdepDirective } from './config.ts';
import { REFUSING } from './lint-blacklist.ts';
import { type Finding, finding, placeFrom } from './lint-finding.ts';
import { isPattern, type LintScope } from './lint-modules.ts';
import type { Source } from './probe.ts';

export function lintCommands(scope: LintScope): Finding[] {
  const { config } = scope;
  return [
    ...config.install.flatMap((line, index) => [...lintHidden('install', line, config.install.slice(0, index)), ...lintInstall(line, scope)]),
    ...config.remove.flatMap((line, index) => [...lintHidden('remove', line, config.remove.slice(0, index)), ...lintRemove(line, scope)]),
  ];
}

/** @param isOwn whether a line is of modprobe.d: the lists that depmod gathered are no one's to mend */
export function lintDependencies(scope: LintScope, isOwn: (source: Source) => boolean): Finding[] {
  const { softdeps, weakdeps } = scope.config;
  return [
    ...softdeps.filter(({ source }) => isOwn(source)).flatMap((line) => [...lintSubject('softdep', line, scope), ...lintNames([...line.pre, ...line.post], line.source, scope)]),
    ...lintSoftdepOrder(scope, isOwn),
    ...weakdeps.filter(({ source }) => isOwn(source)).flatMap((line) => [...lintSubject('weakdep', line, scope), ...lintNames(line.weak, line.source, scope)]),
  ];
}

/** Only the first line that matches a module counts. */
function lintHidden(directive: 'install' | 'remove', { module, source }: CommandDirective, before: readonly CommandDirective[]): Finding[] {
  const first = before.find((other) => other.module === module || (!isPattern(module) && fnmatch(other.module, module)));
  return first ? [finding('error', 'command-hidden', source, `never runs: the first ${directive} line for ${module} holds, ${placeFrom(source, first.source)}`)] : [];
}

function lintInstall({ module, command, source }: CommandDirective, { config, modules }: LintScope): Finding[] {
  const findings: Finding[] = [];
  const state = isPattern(module) ? undefined : modules.state(module).kind;
  if (state === 'builtin') findings.push(finding('error', 'builtin', source, `never runs: ${module} is built into the kernel, and modprobe has nothing to do`));
  // Names that stand for nothing do not count.
  const softdep = config.softdeps.find((line) => fnmatch(line.module, module) && [...line.pre, ...line.post].some((name) => modules.find(name).length > 0));
  if (softdep) {
    findings.push(finding('warning', 'install-with-softdep', source,
      `kmod does not run this for ${module}, because it has softdeps (${placeFrom(source, softdep.source)}), and loads it; tsmodprobe does run it${REFUSING.test(command) ? '' : ' (--strict-kmod does not)'}`));
  }
  if (REFUSING.test(command)) {
    const denied = config.deny.some((deny) => fnmatch(deny.module, module));
    const hides = /true|:/.test(command) ? `modprobe then reports success, and ${module} is not loaded; ` : '';
    if (!denied && state !== 'builtin') findings.push(finding('note', 'install-refuses', source, `${hides}\`#tsmodprobe: deny ${module}\` refuses it with a reason, and needs no shell`));
  } else if (callsItself(command, module)) {
    findings.push(finding('error', 'install-recursion', source, `runs modprobe ${module} again, which runs this command again, without end; say modprobe --ignore-install ${module}`));
  }
  return findings;
}

function lintRemove({ module, source }: CommandDirective, { config, modules, isVendor }: LintScope): Finding[] {
  if (isPattern(module)) return [];
  const { kind } = modules.state(module);
  if (kind === 'builtin') return [finding('error', 'builtin', source, `never runs: ${module} is built into the kernel and cannot be removed`)];
  // A name with an install command may be no module at all.
  if (kind !== 'missing' || config.install.some((install) => install.module === module)) return [];
  return [finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source, `there is no module ${module}${modules.suggestion(module)}`)];
}

function lintSubject(directive: 'softdep' | 'weakdep', { module, source }: { readonly module: string; readonly source: Source }, { config, modules, isVendor }: LintScope): Finding[] {
  if (modules.matching(module).length > 0 || config.install.some((install) => install.module === module)) return [];
  const state = isPattern(module) ? undefined : modules.state(module);
  if (state?.kind === 'builtin') return [finding('error', 'builtin', source, `no effect: ${module} is built into the kernel, and modprobe never loads it`)];
  if (state?.kind === 'alias') return [finding('error', `${directive}-alias`, source, `no effect: ${module} is an alias, and ${directive} takes names of modules first (it leads to ${state.modules.join(', ')})`)];
  const text = isPattern(module) ? `no effect: no module matches ${module}` : `no effect: there is no module ${module}${modules.suggestion(module)}`;
  return [finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source, text)];
}

function lintNames(names: readonly string[], source: Source, { modules, isVendor }: LintScope): Finding[] {
  return names.filter((name) => modules.find(name).length === 0).map((name) => finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source,
    `${name} is passed over: no module and no alias has that name${modules.suggestion(name.replaceAll('-', '_'))}`));
}

/** Both are of weight with kmod only: what a distribution ships is tried with it. */
function lintSoftdepOrder({ config, isVendor }: LintScope, isOwn: (source: Source) => boolean): Finding[] {
  const first = new Map<string, SoftdepDirective>();
  const told = new Set<SoftdepDirective>();
  const severityOf = (source: Source) => (isVendor(source) ? 'note' : 'warning');
  return config.softdeps.flatMap((line) => {
    const before = first.get(line.module);
    if (!before) {
      first.set(line.module, line);
      return [];
    }
    if (isOwn(line.source)) return finding(severityOf(line.source), 'softdep-twice', line.source, `kmod takes only the first softdep line for ${line.module}, ${placeFrom(line.source, before.source)}; tsmodprobe takes all`);
    if (!isOwn(before.source) || told.has(before)) return [];
    told.add(before);
    return finding(severityOf(before.source), 'softdep-hides', before.source, `for kmod this hides the softdeps that ${line.module} itself asks for (${placeFrom(before.source, line.source)}); tsmodprobe takes all`);
  });
}

/** Whether a shell command asks modprobe for the module that it is the install command of. */
function callsItself(command: string, module: string): boolean {
  return command.split(/[;&|]+/).some((part) => {
    const words = part.trim().split(/\s+/);
    const at = words.findIndex((word) => /(?:^|\/)modprobe$/.test(word));
    if (at < 0) return false;
    const rest = words.slice(at + 1);
    return rest.some((word) => word.replaceAll('-', '_') === module) && !rest.some((word) => /^--ignore-i|^-[a-zA-Z]*i|^--rem|^-[a-zA-Z]*r/.test(word));
  });
}
