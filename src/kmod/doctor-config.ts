// What of modprobe.d is in the way of a module, with file and line.

import type { Finding } from './doctor.ts';
import type { Match } from './lookup.ts';
import type { ModuleRules } from './module-rules.ts';
import type { Source } from './probe.ts';

/** Commands of `install` lines that stand for "never". */
const REFUSALS = /^(?:exec\s+)?(?:\/(?:usr\/)?bin\/)?(?:false|true|:)\s*(?:;|&&|$)/;

/** @param target the name that was asked for, which may be an alias */
export function configFindings(match: Match, target: string, rules: ModuleRules): Finding[] {
  const { module } = match;
  const findings: Finding[] = [];
  const { needs } = rules.of(module);
  for (const each of [module, ...needs]) {
    const { deny, install } = rules.of(each);
    const needed = each === module ? '' : `, and ${module} needs it`;
    if (deny) {
      findings.push({ kind: 'denied', level: 'problem', module: each, text: `${each} is denied by ${place(deny.source)}${needed}`, ...lineOf(deny.source) });
    }
    if (!install) continue;
    const refused = REFUSALS.test(install.command.trim());
    findings.push({
      kind: 'install-command', level: refused ? 'problem' : 'note', module: each, source: install.source,
      text: refused
        ? `${each} is never loaded: ${place(install.source)} runs '${install.command.trim()}' instead${needed}`
        : `${place(install.source)} runs '${install.command.trim()}' instead of loading ${each}`,
      ...(refused ? { propose: each === module ? `modprobe --ignore-install ${module}` : `sed -n ${install.source.line ?? 1}p ${install.source.file}` } : {}),
    });
  }
  const blacklist = rules.blacklistOf(module);
  if (blacklist) {
    const alias = match.alias === undefined ? '' : `; ${target} is an alias of it`;
    findings.push({
      kind: 'blacklisted', level: 'problem', module, source: blacklist.source,
      text: `${module} is blacklisted by ${place(blacklist.source)}: no device and no alias loads it, its name does${alias}`, propose: `modprobe ${module}`,
    });
  }
  return findings;
}

/** `FILE line N` */
export function place({ file, line }: Source): string {
  return line === undefined ? file : `${file} line ${line}`;
}

function lineOf(source: Source): Pick<Finding, 'source' | 'propose'> {
  return { source, propose: `sed -n ${source.line ?? 1}p ${source.file}` };
}
