// udevadm test-rules: runs a directory of cases against rules, and says which rules none of them needed.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, LimitError, messageOf, ParseError, UsageError } from '../errors.ts';
import { captureCase } from '../udev/capture.ts';
import { deviceByNode, deviceBySyspath } from '../udev/device-lookup.ts';
import { openCaseRunner } from '../udev/rules/test-run.ts';
import type { CaseReport, CaseRunner } from '../udev/rules/test-run.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { coverageLines, coverageObject, formatCoverage, formatReport } from './udevadm-test-rules-text.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'rules', short: 'r', argument: 'required' },
  { long: 'capture', argument: 'required' },
  { long: 'action', short: 'a', argument: 'required' },
  { long: 'coverage' },
  { long: 'json' },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
];

const HELP = `udevadm test-rules [OPTIONS] DIRECTORY|FILE...
udevadm test-rules --capture=DEVICE [--action=ACTION]

Run cases against udev rules: a captured device, an event, and what the rules shall make of it. Files of
cases end in .case; docs/test-rules.md tells what is in them. Nothing of this machine is read or written but
its rules, and those only where neither a case nor --rules names others and none lie beside the file.

  -r, --rules=PATH      the rules: a file or a directory
      --capture=DEVICE  print a case of a live device (below /sys or /dev) as the rules of this machine treat it;
                        programs of PROGRAM and IMPORT do run
  -a, --action=ACTION   of the captured event: add (default), change, remove, …
      --coverage        how often each rule ran and matched, in place of those that never did
      --json            one JSON object: schema, cases, rules
  -V, --version
  -h, --help

Exit status: 0 when all cases are as expected, 1 when one is not, 2 when a case or the rules cannot be read.
`;

const FAILED = 1;
const BAD_INPUT = 2;
/** A directory of cases has no more levels. */
const DEPTH_MAX = 8;

export const udevadmTestRules: Applet = {
  name: 'test-rules',
  summary: 'Test rules with captured devices',
  options: OPTIONS,
  async run(argv, context) {
    try {
      return await testRules(argv, context);
    } catch (error) {
      // All of these are of what was given, and have a status of their own here.
      if (!(error instanceof UsageError) && !isBadInput(error)) throw error;
      context.stderr(`${error instanceof UsageError || error instanceof ParseError ? '' : `${context.program}: `}${messageOf(error)}\n`);
      return BAD_INPUT;
    }
  },
};

async function testRules(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  const given = new Map(options.map(({ name, value }) => [name, value]));
  if (answersHelp(given, HELP, context)) return 0;
  const capture = given.get('capture');
  if (capture !== undefined) return printCapture(capture, given.get('action') ?? 'add', context);
  if (operands.length === 0) throw new UsageError(`${context.program}: a directory of cases, or a file, is needed`);
  const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }) });
  const rules = given.get('rules');
  const runner = openCaseRunner(system, rules === undefined ? {} : { rules });
  const files = operands.flatMap((operand) => filesOf(operand, 0));
  if (files.length === 0) throw new UsageError(`${context.program}: there is no file *.case in ${operands.join(', ')}`);
  const reports: CaseReport[] = [];
  const bad = await runAll(files, runner, (report) => {
    reports.push(report);
    if (!given.has('json')) context.stdout(formatReport(report));
  });
  for (const { file, line, severity, message } of runner.problems) {
    if (severity !== 'style') context.stderr(`${line === 0 ? file : `${file}:${line}`}: ${message}\n`);
  }
  for (const message of bad) context.stderr(`${message}\n`);
  const failed = reports.filter(({ ok }) => !ok).length;
  const lines = coverageLines(runner);
  if (given.has('json')) context.stdout(`${JSON.stringify({ schema: 1, cases: reports, failed, errors: bad, rules: coverageObject(lines) })}\n`);
  else context.stdout(`${formatCoverage(lines, { all: given.has('coverage') })}${reports.length} cases, ${failed === 0 ? 'all as expected' : `${failed} failed`}\n`);
  if (bad.length > 0 || runner.problems.some(({ severity }) => severity === 'error')) return BAD_INPUT;
  return failed === 0 ? 0 : FAILED;
}

/** A file that cannot be read costs its own cases only. Gives what was wrong. */
async function runAll(files: readonly string[], runner: CaseRunner, onReport: (report: CaseReport) => void): Promise<readonly string[]> {
  const bad: string[] = [];
  for (const file of files) {
    try {
      for (const report of await runner.run(file)) onReport(report);
    } catch (error) {
      if (!isBadInput(error)) throw error;
      bad.push(error instanceof ParseError ? error.message : `${file}: ${messageOf(error)}`);
    }
  }
  return bad;
}

function isBadInput(error: unknown): boolean {
  return error instanceof ParseError || error instanceof LimitError || codeOf(error) !== undefined;
}

/** A directory stands for the files of cases in it, sorted. */
function filesOf(operand: string, depth: number): readonly string[] {
  if (!statSync(operand).isDirectory()) return [operand];
  if (depth === DEPTH_MAX) return [];
  return readdirSync(operand, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
    const path = join(operand, entry.name);
    return entry.isDirectory() ? filesOf(path, depth + 1) : entry.name.endsWith('.case') ? [path] : [];
  });
}

async function printCapture(path: string, action: string, context: AppletContext): Promise<number> {
  const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }) });
  const device = path.startsWith(`${system.roots.dev}/`) ? deviceByNode(system, path) : deviceBySyspath(system, path);
  if (!device) {
    context.stderr(`${context.program}: ${path}: no such device\n`);
    return BAD_INPUT;
  }
  context.stdout(await captureCase(system, device, action));
  return 0;
}
