// Rules in TypeScript: which files of a machine they are in, whether those may be trusted, and loading them.

import { readFileSync, realpathSync, statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { devNull } from 'node:os';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

import { messageOf } from '../../errors.ts';
import type { System } from '../../system.ts';
import { linkTarget, resolveBelow } from '../below-root.ts';
import type { DeviceRule } from './device-rule.ts';
import type { RuleFile, RuleProblem } from './rule.ts';
import { byName, listRulesFiles, loadRules, rulesDirectories, signatureOf } from './rule-files.ts';
import type { LoadedRules, LoadRulesOptions, RulesPath } from './rule-files.ts';

/** A program of this size is no rule. */
export const RULE_MODULE_MAX = 1 << 20;

/** Whether a file of this name in a rules directory is a rule in TypeScript (or in the JavaScript that comes of it). */
export function isRuleModuleName(name: string): boolean {
  return /^[^.].*\.rules\.(?:mjs|js|mts|ts)$/s.test(name);
}

/**
 * Reads all rules of the machine, .rules files and those in TypeScript, sorted together by name. A file that cannot be loaded is a problem, and the
 * others are read. Rules in TypeScript are code: they run in this process, with its rights.
 */
export async function loadAllRules(system: System, options: LoadRulesOptions = {}): Promise<LoadedRules> {
  const { directories = rulesDirectories(system) } = options;
  const root = options.paths ? '' : system.roots.config;
  const loaded = loadRules(system, options);
  const paths = options.paths?.filter(({ name }) => isRuleModuleName(name)) ?? listRulesFiles(directories, root, isRuleModuleName);
  if (paths.length === 0) return loaded;
  const files: RuleFile[] = [];
  const problems: RuleProblem[] = [];
  for (const path of paths) {
    try {
      const rule = await loadRuleModule(path, root);
      if (rule) files.push({ file: path.path, lines: [lineOf(path.path, rule)] });
    } catch (error) {
      problems.push({ file: path.path, line: 0, severity: 'error', message: messageOf(error) });
    }
  }
  return {
    rules: { files: [...loaded.rules.files, ...files].sort((a, b) => byName(named(a), named(b))) },
    problems: [...loaded.problems, ...problems],
    signature: loaded.signature + signatureOf(paths, root),
  };
}

/** Why root must not run what this file or directory says; undefined where it may. */
export function distrust({ uid, mode }: Pick<Stats, 'uid' | 'mode'>, kind: 'file' | 'directory'): string | undefined {
  if (uid !== 0) return `belongs to user ${uid}, not to root`;
  // What is in /tmp can be replaced by its owner only.
  const isSticky = kind === 'directory' && (mode & S_ISVTX) !== 0;
  return (mode & 0o022) !== 0 && !isSticky ? `can be written by others than root (mode ${(mode & 0o7777).toString(8).padStart(4, '0')})` : undefined;
}

const S_ISVTX = 0o1000;

/**
 * What is odd about the names of rules in TypeScript, by path: these are all files that are read, of one directory or of a machine. Each is
 * loaded all the same.
 */
export function nameProblems(paths: readonly RulesPath[]): ReadonlyMap<string, readonly RuleProblem[]> {
  const problems = new Map<string, readonly RuleProblem[]>();
  const first = new Map<string, string>();
  for (const { name, path } of paths.filter((each) => isRuleModuleName(each.name))) {
    const found: RuleProblem[] = [];
    if (!/^[0-9]{2,}-/.test(name)) found.push({ file: path, line: 0, severity: 'style', message: 'style: the name does not begin with the number that puts it in its place, as 65-name does.' });
    // What a compiler made of a rule, beside its source: both run.
    const stem = name.slice(0, name.lastIndexOf('.'));
    const twin = first.get(stem);
    if (twin !== undefined) found.push({ file: path, line: 0, severity: 'error', message: `is read beside ${twin}: the same rule would run twice` });
    else first.set(stem, path);
    if (found.length > 0) problems.set(path, found);
  }
  return problems;
}

/**
 * Runs the text of a rule in TypeScript, which is trusted as the daemon trusts it, and returns its function. Undefined for a file that only masks
 * another: it is empty, or a link to /dev/null. Throws what is wrong with it, of whatever class: also what the text throws.
 */
export async function loadRuleModule({ path }: Pick<RulesPath, 'path'>, root: string): Promise<DeviceRule | undefined> {
  const resolved = resolveBelow(root, path);
  if (linkTarget(resolved) === devNull || linkTarget(path) === devNull) return undefined;
  const real = realpathSync(resolved);
  const stat = statSync(real);
  if (!stat.isFile()) throw new Error('is no regular file');
  if (stat.size > RULE_MODULE_MAX) throw new Error(`has ${stat.size} bytes, more than RULE_MODULE_MAX (${RULE_MODULE_MAX})`);
  if (readFileSync(real, 'latin1').trim() === '') return undefined;
  if (process.geteuid?.() === 0) checkTrust(real, stat, dirname(resolved));
  if (/\.m?ts$/.test(real) && !readsTypeScript()) {
    throw new Error(`Node ${process.version} cannot run TypeScript: Node 22.18 or later can; or write the rule as .mjs`);
  }
  // Another text has another address: Node keeps what it has loaded by that.
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(real, { bigint: true });
  const exports: unknown = await import(/* @vite-ignore */ `${pathToFileURL(real).href}?${dev}-${ino}-${size}-${mtimeNs}-${ctimeNs}`);
  return ruleOf(exports);
}

/** The file, and the directories on the way to it: who may write to one of those may put another file there. */
function checkTrust(real: string, stat: Stats, directory: string): void {
  const blame = (what: string, reason: string | undefined): void => {
    if (reason !== undefined) throw new Error(`is code that would run as root, and ${what} ${reason}`);
  };
  blame('the file', distrust(stat, 'file'));
  for (let above = realpathSync(directory); ; above = dirname(above)) {
    blame(above, distrust(statSync(above), 'directory'));
    if (above === dirname(above)) break;
  }
  for (let above = dirname(real); above !== dirname(above); above = dirname(above)) blame(above, distrust(statSync(above), 'directory'));
}

/** process.features.typescript: since Node 22.10; 'strip' or 'transform' where .ts files can be imported. */
function readsTypeScript(): boolean {
  return Boolean((process.features as { readonly typescript?: unknown }).typescript);
}

function ruleOf(exports: unknown): DeviceRule {
  const { rule, default: standard } = exports as { readonly rule?: unknown; readonly default?: unknown };
  if (typeof rule === 'function' && typeof standard === 'function' && rule !== standard) throw new Error('exports two functions, `rule` and the default: which is the rule?');
  if (typeof standard === 'object' && standard !== null && 'rule' in standard) throw new Error('is CommonJS, which Node does not load again after a change: write `export const rule = …`');
  const found = rule ?? standard;
  if (typeof found !== 'function') throw new Error('exports no function `rule`');
  return found as DeviceRule;
}

function lineOf(file: string, handler: DeviceRule): RuleFile['lines'][number] {
  return { file, line: 1, tokens: [], effects: ['always'], handler };
}

function named({ file }: RuleFile): RulesPath {
  return { name: file.slice(file.lastIndexOf('/') + 1), path: file };
}
