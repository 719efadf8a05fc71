// What lint says of alias lines: those that lead nowhere, to another alias, or to more than their author thinks.

import { type Finding, finding, placeFrom, someOf } from './lint-finding.ts';
import { isPattern, type LintScope } from './lint-modules.ts';
import type { AliasDirective } from './config.ts';

export function lintAliases(scope: LintScope): Finding[] {
  const byPattern = new Map<string, AliasDirective[]>();
  return scope.config.aliases.flatMap((alias) => {
    const same = byPattern.get(alias.pattern) ?? [];
    const findings = [...lintTarget(alias, scope), ...lintSame(alias, same), ...(same.length === 0 ? lintName(alias, scope) : [])];
    byPattern.set(alias.pattern, [...same, alias]);
    return findings;
  });
}

function lintTarget({ pattern, module, source }: AliasDirective, { config, modules, isVendor }: LintScope): Finding[] {
  if (modules.state(module).kind === 'file' || modules.state(module).kind === 'builtin') return [];
  if (config.install.some((install) => install.module === module)) return [];
  if (module === 'off') {
    return [finding('warning', 'alias-off', source, `off is no keyword: ${pattern} leads to a module of that name, which is not there; say \`blacklist\` or \`#tsmodprobe: deny\` with the module's name`)];
  }
  const chained = config.aliases.find((other) => other.pattern === module);
  if (chained) return [finding('error', 'alias-of-alias', source, `dead: ${module} is itself an alias (${placeFrom(source, chained.source)}) and is not followed; name ${chained.module} here`)];
  const found = modules.find(module).filter((name) => name !== module);
  if (found.length > 0) return [finding('error', 'alias-of-alias', source, `dead: ${module} is itself an alias and is not followed; name the module here: ${someOf(found)}`)];
  return [finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source, `dead: there is no module ${module}${modules.suggestion(module)}`)];
}

function lintSame({ pattern, module, source }: AliasDirective, same: readonly AliasDirective[]): Finding[] {
  const twin = same.find((other) => other.module === module);
  if (twin) return [finding('note', 'duplicate', source, `the same alias stands in ${placeFrom(source, twin.source)}`)];
  const [other] = same;
  if (!other) return [];
  return [finding('warning', 'alias-twice', source, `does not replace ${placeFrom(source, other.source)}: ${pattern} now loads ${[...same, { module }].map((each) => each.module).join(' and ')}`)];
}

/** Configured aliases come before everything else that has the name. */
function lintName({ pattern, module, source }: AliasDirective, { modules }: LintScope): Finding[] {
  if (isPattern(pattern)) return [];
  if (pattern === module) return [finding('note', 'alias-of-itself', source, `without effect: ${module} is its own name`)];
  if (modules.state(pattern).kind !== 'file') return [];
  return [finding('warning', 'alias-hides-module', source, `hides the module ${pattern}: \`modprobe ${pattern}\` now loads ${module}`)];
}
