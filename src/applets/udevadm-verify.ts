// udevadm verify: says what udev will not like about rules files, and what the daemon will not like about rules in TypeScript.

import { realpathSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { LimitError, messageOf, SystemError, UsageError } from '../errors.ts';
import { errnoText, type System } from '../system.ts';
import { parseRules } from '../udev/rules/parse.ts';
import type { ParseContext, ResolveNames } from '../udev/rules/parse-context.ts';
import type { RuleProblem } from '../udev/rules/rule.ts';
import { isRulesName, listRulesFiles, nameResolvers, readRulesFile, rulesDirectories } from '../udev/rules/rule-files.ts';
import type { RulesPath } from '../udev/rules/rule-files.ts';
import { isRuleModuleName, loadRuleModule, nameProblems } from '../udev/rules/rule-modules.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { UDEV_VERSION } from './udevadm.ts';
import { helpFor } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'resolve-names', short: 'N', argument: 'required' },
  { long: 'root', argument: 'required' },
  { long: 'no-summary' },
  { long: 'no-style' },
  { long: 'json' },
];

const HELP = `udevadm verify [OPTIONS] [FILE...]

Verify udev rules files.

  -h --help                            Show this help
  -V --version                         Show package version
  -N --resolve-names=early|never       When to resolve names
     --root=PATH                       Operate on an alternate filesystem root
     --no-summary                      Do not show summary
     --no-style                        Ignore style issues
     --json                            One JSON object in place of text: schema,
                                       files with problems, success, fail

A FILE is a rules file, or a directory of them. Without one, all rules of the
machine are verified. Rules in TypeScript (NAME.rules.mjs, .js, .mts, .ts) are
loaded, as the daemon loads them, and not called. Exit status: 0 when nothing was found, 1 otherwise.
`;

export const udevadmVerify: Applet = {
  name: 'verify',
  summary: 'Verify udev rules files',
  options: OPTIONS,
  run,
};

type Verified = {
  readonly file: string;
  readonly ok: boolean;
  readonly problems: readonly RuleProblem[];
  /** Why it could not be read. */
  readonly unreadable?: string;
};

type Request = {
  readonly system: System;
  readonly context: AppletContext;
  readonly parse: ParseContext;
  readonly noStyle: boolean;
  readonly json: boolean;
};

async function run(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  const last = new Map(options.map(({ name, value }) => [name, value]));
  const first = options.find(({ name }) => name === 'help' || name === 'version')?.name;
  if (first !== undefined) {
    context.stdout(first === 'help' ? helpFor(HELP, context) : `${UDEV_VERSION}\n`);
    return 0;
  }
  const resolveNames = resolveNamesOf(last.get('resolve-names') ?? 'early');
  const root = last.get('root');
  if (root !== undefined && operands.length > 0) throw new UsageError('Combination of --root= and FILEs is not supported.');
  const system = context.openSystem(root === undefined || root === '' ? {} : { root: resolve(root) });
  const request = {
    system, context, parse: { resolveNames, checks: true, ...nameResolvers(system) }, noStyle: last.has('no-style'), json: last.has('json'),
  };
  const paths = operands.length > 0 ? operands.flatMap(filesOf) : listRulesFiles(rulesDirectories(system), system.roots.config, isAnyRules);
  if (paths.length === 0 && operands.length === 0 && root !== undefined) {
    context.stderr(`No rules files found in ${resolve(root)}.\n`);
    return 1;
  }
  return report(await verifyAll(paths, request), { json: request.json, summary: !last.has('no-summary'), context });
}

function resolveNamesOf(text: string): ResolveNames {
  // Late is taken and not offered, as in udev.
  if (text === 'early' || text === 'never' || text === 'late') return text;
  throw new UsageError('--resolve-names= takes "early" or "never"');
}

/** A directory stands for its rules files, also for what cannot be read among them. */
function filesOf(operand: string): readonly RulesPath[] {
  if (!statSync(operand, { throwIfNoEntry: false })?.isDirectory()) return [{ name: basename(operand), path: operand }];
  const directory = realpathSync(operand);
  return listRulesFiles([directory], '', isAnyRules).map(({ name }) => ({ name, path: join(directory, name) }));
}

function isAnyRules(name: string): boolean {
  return isRulesName(name) || isRuleModuleName(name);
}

async function verifyAll(paths: readonly RulesPath[], request: Request): Promise<readonly Verified[]> {
  const seen = new Set<string>();
  const oddNames = nameProblems(paths);
  const verified: Verified[] = [];
  for (const { name, path } of paths) {
    const key = path.replace(/(^|\/)(?:\.?\/)+/g, '$1');
    if (seen.has(key)) {
      if (!request.json) print(request, `Failed to save stat for ${path}, ignoring: File exists`);
      verified.push(unreadable(path, 'File exists', request));
    } else verified.push(isRuleModuleName(name) ? await verifyModule(path, oddNames.get(path) ?? [], request) : verify(path, request));
    seen.add(key);
  }
  return verified;
}

/** Loads a rule in TypeScript. What it asks for is known when it is called, and checked then. */
async function verifyModule(path: string, oddNames: readonly RuleProblem[], request: Request): Promise<Verified> {
  const problems = [...oddNames];
  try {
    await loadRuleModule({ path: resolve(path) }, request.system.roots.config);
  } catch (error) {
    problems.push({ file: path, line: 0, severity: 'error', message: messageOf(error) });
  }
  if (!request.json) for (const { message } of problems) print(request, `${path}: ${message}`);
  return judged(path, problems, request);
}

/** Checks a file and prints what is found, in the order and with the texts of udev. */
function verify(path: string, request: Request): Verified {
  let bytes: Uint8Array;
  try {
    bytes = readRulesFile(path, request.system.roots.config);
  } catch (error) {
    if (error instanceof SystemError) return unreadable(path, errnoText(error.errno), request);
    if (error instanceof LimitError) return unreadable(path, error.message, request);
    throw error;
  }
  if (request.context.env['SYSTEMD_LOG_LEVEL'] === 'debug') print(request, `${bytes.length === 0 ? 'Skipping empty file' : 'Reading rules file'}: ${path}`);
  const parsed = parseRules(bytes, path, request.parse);
  const { problems } = parsed;
  const said = parsed.isDropped ? problems.slice(0, -1) : problems;
  if (!request.json) for (const { line, message } of said) print(request, `${path}:${line} ${message}`);
  if (parsed.isDropped) return { ...unreadable(path, problems.at(-1)?.message ?? '', request), problems };
  return judged(path, problems, request);
}

/** --no-style prints style issues as well, and lets the file pass. */
function judged(path: string, problems: readonly RuleProblem[], request: Request): Verified {
  const isStyle = problems.every(({ severity }) => severity === 'style');
  const ok = problems.length === 0 || (isStyle && request.noStyle);
  if (!ok && !request.json) print(request, `${path}: udev rules ${isStyle ? 'have style issues' : 'check failed'}.`);
  return { file: path, ok, problems };
}

function unreadable(path: string, reason: string, request: Request): Verified {
  if (!request.json) print(request, `Failed to parse rules file ${path}: ${reason}`);
  return { file: path, ok: false, problems: [], unreadable: reason };
}

/** Rules come from anywhere: no escape sequence of theirs shall reach a terminal. */
function print({ context }: Request, text: string): void {
  context.stderr(`${text.replace(/(?!\t)\p{Cc}/gu, '?')}\n`);
}

function report(files: readonly Verified[], { json, summary, context }: { json: boolean; summary: boolean; context: AppletContext }): number {
  const success = files.filter(({ ok }) => ok).length;
  const fail = files.length - success;
  if (json) context.stdout(`${JSON.stringify({ schema: 1, files, success, fail })}\n`);
  else if (summary) context.stdout(`\n${files.length} udev rules files have been checked.\n  Success: ${success}\n  Fail:    ${fail}\n`);
  return fail === 0 ? 0 : 1;
}
