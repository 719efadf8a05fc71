// The rules in force: read at the start, read again on a change, and kept where a changed file is broken.

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import type { ParseContext } from './rules/parse-context.ts';
import type { RuleFile, RuleProblem, RuleSet } from './rules/rule.ts';
import { listRulesFiles, rulesDirectories } from './rules/rule-files.ts';
import type { LoadedRules } from './rules/rule-files.ts';
import { loadAllRules } from './rules/rule-modules.ts';

/** The file by which the rules of udev itself are recognised, in every distribution. */
const STOCK_RULES = '50-udev-default.rules';

export type RuleStoreOptions = Pick<ParseContext, 'resolveNames'> & {
  /** Rules for a machine without udev's own: the last of the directories where none of the others has STOCK_RULES. */
  readonly defaultDirectory?: string;
};

export interface RuleStore {
  readonly rules: RuleSet;
  /**
   * Reads the files again. A file that has become faulty keeps the rules that it had, and a new one that is faulty counts for nothing,
   * until it is put right. What is wrong is logged. Resolves when the new rules are in force; several calls are one after the other.
   */
  reload(): Promise<void>;
}

/** The rules as the daemon reads them: those of `loadAllRules`, with `defaultDirectory` where udev's own are missing. */
export function loadMachineRules(system: System, { defaultDirectory, ...context }: RuleStoreOptions): Promise<LoadedRules> {
  const directories = rulesDirectories(system);
  const hasStockRules = listRulesFiles(directories, system.roots.config).some(({ name }) => name === STOCK_RULES);
  return loadAllRules(system, { ...context, directories: hasStockRules || defaultDirectory === undefined ? directories : [...directories, defaultDirectory] });
}

/** At the start a faulty line costs what it costs in udev: itself. Never rejects for what is in the files; problems are logged. */
export async function openRuleStore(system: System, options: RuleStoreOptions = {}): Promise<RuleStore> {
  let loaded = await loadMachineRules(system, options);
  let reloading = Promise.resolve();
  /** Files that were faulty when the daemon started: there is nothing better to keep. */
  const faultyFromTheStart = faultyFiles(loaded.problems);
  for (const problem of loaded.problems) logProblem(system, problem);
  system.log.debug({ code: 'rules-read', message: `${countLines(loaded.rules)} rules in ${loaded.rules.files.length} files` });
  const reload = async (): Promise<void> => {
    let next: LoadedRules;
    try {
      next = await loadMachineRules(system, options);
    } catch (error) {
      system.log.error({ code: 'rules-kept', message: `rules cannot be read, the old ones stay: ${messageOf(error)}` });
      return;
    }
    if (next.signature === loaded.signature) return;
    for (const problem of next.problems) logProblem(system, problem);
    const faulty = faultyFiles(next.problems);
    for (const file of faultyFromTheStart) if (!faulty.has(file)) faultyFromTheStart.delete(file);
    for (const file of faultyFromTheStart) faulty.delete(file);
    loaded = { ...next, rules: { files: keepOld(loaded.rules.files, next.rules.files, faulty) } };
    for (const file of faulty) {
      const keeps = loaded.rules.files.some((kept) => kept.file === file);
      system.log.error({ code: 'rules-kept', message: `${file} is faulty: ${keeps ? 'the rules that it had stay in force' : 'none of its rules is used'}`, file });
    }
  };
  return {
    get rules() {
      return loaded.rules;
    },
    reload: () => (reloading = reloading.then(reload)),
  };
}

function faultyFiles(problems: readonly RuleProblem[]): Set<string> {
  return new Set(problems.filter(({ severity }) => severity === 'error').map(({ file }) => file));
}

/** In the order of the new files; an old file whose new version has no rule left takes its old place among them. */
function keepOld(old: readonly RuleFile[], next: readonly RuleFile[], faulty: ReadonlySet<string>): readonly RuleFile[] {
  const files = [...next.filter(({ file }) => !faulty.has(file)), ...old.filter(({ file }) => faulty.has(file))];
  const nameOf = ({ file }: RuleFile): Buffer => Buffer.from(file.slice(file.lastIndexOf('/') + 1));
  return files.sort((a, b) => Buffer.compare(nameOf(a), nameOf(b)));
}

function countLines({ files }: RuleSet): number {
  return files.reduce((sum, { lines }) => sum + lines.length, 0);
}

function logProblem({ log }: System, { file, line, column, severity, message }: RuleProblem): void {
  if (severity === 'style') return;
  const place = line === 0 ? file : `${file}:${line}${column === undefined ? '' : `:${column}`}`;
  log[severity === 'error' ? 'error' : 'warn']({ code: 'rules-problem', message: `${place} ${message}`, file, line });
}
