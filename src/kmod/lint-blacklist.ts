// What lint says of blacklist and deny lines: what still loads the module, or why there is nothing to keep out.

import { fnmatch } from './alias.ts';
import type { Config } from './config.ts';
import { type Finding, finding, placeFrom, refusal, someOf } from './lint-finding.ts';
import { isPattern, type LintScope } from './lint-modules.ts';
import type { Source } from './probe.ts';

/** Commands that do nothing, and so keep a module out. */
export const REFUSING = /^\s*(?:\/usr)?(?:\/bin\/)?(?:true|false|:)\s*(?:;.*)?$/;

export function lintBlacklist(scope: LintScope): Finding[] {
  const { config, modules } = scope;
  const findings: Finding[] = [];
  const harmless = new Map<string, { readonly source: Source; readonly names: string[] }>();
  const first = new Map<string, Source>();
  for (const { module, source } of config.blacklist) {
    const say = (severity: Finding['severity'], code: string, message: string) => findings.push(finding(severity, code, source, message));
    const before = first.get(module);
    if (before) {
      say('note', 'duplicate', `${module} is blacklisted in ${placeFrom(source, before)} already`);
      continue;
    }
    first.set(module, source);
    if (isPattern(module)) {
      say('error', 'blacklist-pattern', `blacklist takes no patterns: ${module} is no module (${refusal(module)} take them)`);
      continue;
    }
    const state = modules.state(module);
    if (state.kind === 'missing') {
      say(scope.isVendor(source) ? 'note' : 'warning', 'no-such-module', `no effect: there is no module ${module}${modules.suggestion(module)}`);
    } else if (state.kind === 'builtin') {
      say('error', 'builtin', `no effect: ${module} is built into the kernel (initcall_blacklist= on the kernel command line can stop its initialisation)`);
    } else if (state.kind === 'alias') {
      say('error', 'blacklist-alias', `no effect: ${module} is an alias, and blacklist takes names of modules (it leads to ${someOf(state.modules)})`);
    } else if (!isRefused(config, module)) {
      const hard = modules.neededBy(module);
      const soft = modules.softdepOf(module).filter((name) => !hard.includes(name));
      if (hard.length + soft.length > 0) say('warning', 'blacklist-bypassed', bypassed(module, hard, soft));
      else if (harmless.has(source.file)) harmless.get(source.file)?.names.push(module);
      else harmless.set(source.file, { source, names: [module] });
    }
  }
  for (const { source, names } of harmless.values()) {
    const them = names.length === 1 ? 'it' : 'them';
    findings.push(finding('note', 'blacklist', source,
      `blacklist only stops loads by alias: no other module needs ${someOf(names)}, but \`modprobe NAME\` still loads ${them}; to refuse ${them} always: ${refusal(names.length === 1 ? names[0] ?? '' : 'NAME')}`));
  }
  return findings;
}

export function lintDeny({ config, modules, isVendor }: LintScope): Finding[] {
  return config.deny.flatMap(({ module, source }) => {
    if (modules.matching(module).length > 0) {
      const needers = modules.neededBy(module);
      return needers.length === 0 ? [] : finding('note', 'deny-needed', source, `refuses also what needs ${module}: ${someOf(needers)}`);
    }
    const state = isPattern(module) ? { kind: 'missing' } : modules.state(module);
    if (state.kind === 'builtin') return finding('error', 'builtin', source, `no effect: ${module} is built into the kernel`);
    if (state.kind === 'alias') return finding('error', 'deny-alias', source, `no effect: ${module} is an alias, and deny takes names of modules`);
    return finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source,
      isPattern(module) ? `no effect: no module matches ${module}` : `no effect: there is no module ${module}${modules.suggestion(module)}`);
  });
}

/** Names of `modprobe.blacklist=` that only we understand. @param strict the same command line, read as kmod does */
export function lintCmdlineBlacklist(strict: Config): Finding[] {
  return strict.blacklist.filter(({ module }) => module.includes('-')).map(({ module, source }) => finding('warning', 'cmdline-dash', source,
    `modprobe.blacklist=${module}: kmod does not take - for _ here, and loads the module; write ${module.replaceAll('-', '_')}`));
}

/** `deny`, or an install command that does nothing. */
function isRefused(config: Config, module: string): boolean {
  return config.deny.some((deny) => fnmatch(deny.module, module)) || REFUSING.test(config.install.find((install) => fnmatch(install.module, module))?.command ?? '-');
}

function bypassed(module: string, hard: readonly string[], soft: readonly string[]): string {
  const needers = [
    ...(hard.length > 0 ? [`${someOf(hard)} (${hard.length === 1 ? 'needs' : 'need'} it)`] : []),
    ...(soft.length > 0 ? [`${someOf(soft)} (softdep)`] : []),
  ].join(', ');
  return `blacklist only stops loads by alias: ${module} is still loaded with ${needers}, and by \`modprobe ${module}\`; to refuse it always: ${refusal(module)}`;
}
