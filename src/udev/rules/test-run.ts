// Runs files of cases: the rules of each on its devices, what came of it beside what was expected, and which rules were of use.

import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { LimitError, ParseError } from '../../errors.ts';
import { openSystem } from '../../system.ts';
import type { Log, System } from '../../system.ts';
import { deviceId } from '../device.ts';
import { wishedMode } from '../node.ts';
import { EMPTY_RECORD } from '../record-file.ts';
import type { DeviceRecord } from '../record.ts';
import { isDeviceLine, parseDevices } from '../umockdev.ts';
import type { CapturedDevice, NumberedLine } from '../umockdev.ts';
import { applyRules } from './apply.ts';
import type { EventResult } from './event-result.ts';
import { kernelProperties } from './event-state.ts';
import type { RuleProblem, RuleSet } from './rule.ts';
import { isRulesName, listRulesFiles } from './rule-files.ts';
import { isRuleModuleName, loadAllRules } from './rule-modules.ts';
import { CASE_FILE_MAX, parseCaseFile } from './test-case.ts';
import type { CaseFile, TestCase } from './test-case.ts';
import { compareResult } from './test-compare.ts';
import type { CaseResult, Difference } from './test-compare.ts';
import { NameTable, openMockMachine } from './test-host.ts';
import type { MockMachine } from './test-host.ts';
import type { Coverage } from './trace.ts';

export type CaseReport = {
  readonly file: string;
  readonly line: number;
  readonly title: string;
  readonly devpath: string;
  readonly action: string;
  readonly ok: boolean;
  readonly differences: readonly Difference[];
  /** Programs and builtins that the rules asked for and the case has no answer for: they failed. */
  readonly unanswered: readonly string[];
  /** What the rules were warned of. */
  readonly messages: readonly string[];
};

export type CaseRunnerOptions = {
  /** A file or directory, for cases that name no rules. Without it those beside the file, or else the machine's. */
  readonly rules?: string;
};

export interface CaseRunner {
  /** Throws ParseError, LimitError and what the file system throws, for what cannot be run at all. */
  run(file: string): Promise<readonly CaseReport[]>;
  readonly coverage: Coverage;
  /** All rules that any case was run with. */
  readonly rules: RuleSet;
  readonly problems: readonly RuleProblem[];
}

export function openCaseRunner(system: System, { rules: chosen }: CaseRunnerOptions = {}): CaseRunner {
  const names = new NameTable();
  const coverage: Coverage = new Map();
  const sets = new Map<string, RuleSet>();
  const problems: RuleProblem[] = [];

  const rulesOf = async (file: string, caseFile: CaseFile, test: TestCase): Promise<RuleSet> => {
    const given = test.rules.length > 0 ? test.rules : caseFile.rules;
    const places = given.length > 0 ? given.map((path) => resolve(dirname(file), path)) : chosen === undefined ? placesBeside(file) : [resolve(chosen)];
    const key = places?.join('\0') ?? '';
    const known = sets.get(key);
    if (known) return known;
    const paths = places?.flatMap((place) => rulesAt(place, test));
    const loaded = await loadAllRules(system, { resolveUser: (name) => names.id(name), resolveGroup: (name) => names.id(name), ...(paths && { paths }) });
    problems.push(...loaded.problems);
    sets.set(key, loaded.rules);
    return loaded.rules;
  };

  return {
    coverage, problems,
    get rules() {
      return { files: [...sets.values()].flatMap(({ files }) => files) };
    },
    async run(file) {
      const caseFile = parseCaseFile(readText(file), file);
      const machine = openMockMachine(ROOTS, devicesOf(file, caseFile));
      try {
        const reports: CaseReport[] = [];
        for (const test of caseFile.cases) {
          reports.push(await runCase(machine, test, { rules: await rulesOf(file, caseFile, test), names, coverage }));
        }
        return reports;
      } finally {
        machine.close();
      }
    },
  };
}

/** What a machine calls its trees; `system` may be one below a directory. */
const { roots: ROOTS } = openSystem({ root: '/' });

type Setting = { readonly rules: RuleSet; readonly names: NameTable; readonly coverage: Coverage };

async function runCase(machine: MockMachine, test: TestCase, { rules, names, coverage }: Setting): Promise<CaseReport> {
  const { title, file, line, action } = test;
  const devpath = test.device ?? machine.devices[0]?.devpath ?? '';
  const captured = machine.devices.find((candidate) => candidate.devpath === devpath);
  const device = machine.device(devpath);
  if (!captured || !device) throw new ParseError({ file, line, message: `the case "${title}" is of ${devpath}, and there is no such device` });
  const { log, messages } = keepingLog();
  const { host, written, unanswered } = machine.host(test, device, { names, log });
  const record = recordOf(captured, test);
  const properties = new Map([...kernelProperties(device, ROOTS.dev), ...test.event]);
  const result = await applyRules(rules, { device, action, properties, ...(record && deviceId(device) !== undefined && { record }) }, host, { coverage });
  const differences = compareResult(test.expected, resultOf(result, { properties: device.properties, names, written }));
  return { file, line, title, devpath, action, ok: differences.length === 0, differences, unanswered: [...unanswered], messages };
}

function resultOf(result: EventResult, { properties, names, written }: { properties: ReadonlyMap<string, string>; names: NameTable; written: readonly string[] }): CaseResult {
  return {
    ...result,
    owner: names.name(result.owner), group: names.name(result.group), mode: wishedMode({ properties }, result),
    run: result.run.map(({ type, command }) => (type === 'builtin' ? `{builtin} ${command}` : command)),
    writes: written,
  };
}

function recordOf({ record }: CapturedDevice, { stored }: TestCase): DeviceRecord | undefined {
  if (stored.size === 0) return record;
  const known = record ?? EMPTY_RECORD;
  return { ...known, properties: new Map([...known.properties, ...stored]) };
}

/** Those of the file, then those of the files that it names. */
function devicesOf(file: string, { devices, includes }: CaseFile): readonly CapturedDevice[] {
  const all = [...parseDevices(devices, file)];
  for (const { text, line } of includes) {
    const path = join(dirname(file), text);
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) throw new ParseError({ file, line, message: `there is no file ${path}` });
    const lines: NumberedLine[] = readText(path).split('\n').map((each, index) => ({ text: each, line: index + 1 })).filter((each) => isDeviceLine(each.text));
    // What the file itself says of a device goes before.
    all.push(...parseDevices(lines, path).filter(({ devpath }) => !all.some((own) => own.devpath === devpath)));
  }
  return all;
}

function placesBeside(file: string): readonly string[] | undefined {
  const directory = dirname(file);
  return listRulesFiles([directory], '', isAnyRules).length > 0 ? [directory] : undefined;
}

function rulesAt(place: string, { file, line }: TestCase): readonly { readonly name: string; readonly path: string }[] {
  const stat = statSync(place, { throwIfNoEntry: false });
  if (!stat) throw new ParseError({ file, line, message: `there are no rules ${place}` });
  return stat.isDirectory() ? listRulesFiles([place], '', isAnyRules) : [{ name: basename(place), path: place }];
}

function isAnyRules(name: string): boolean {
  return isRulesName(name) || isRuleModuleName(name);
}

function readText(file: string): string {
  const { size } = statSync(file);
  if (size > CASE_FILE_MAX) throw new LimitError({ file, limit: 'CASE_FILE_MAX', maximum: CASE_FILE_MAX, actual: size });
  return readFileSync(file, 'utf8');
}

function keepingLog(): { readonly log: Log; readonly messages: readonly string[] } {
  const messages: string[] = [];
  const keep = ({ message }: { readonly message: string }) => void messages.push(message);
  const quiet = (): void => undefined;
  return { log: { error: keep, warn: keep, notice: quiet, info: quiet, debug: quiet }, messages };
}
