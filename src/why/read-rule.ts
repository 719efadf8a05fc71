// Which rule asks for the modules of a device, or the first clause of that rule which did not match.

import type { System } from '../system.ts';
import { recordOf } from '../udev/database.ts';
import type { Device } from '../udev/device.ts';
import { applyRules } from '../udev/rules/apply.ts';
import type { TraceEntry } from '../udev/rules/event-result.ts';
import { kernelProperties } from '../udev/rules/event-state.ts';
import type { RuleFile, RuleLine, RuleSet } from '../udev/rules/rule.ts';
import { systemRulesHost } from '../udev/rules/system-host.ts';
import type { RuleFacts } from './facts.ts';

export type LoadRule = { readonly command: string; readonly names: readonly string[]; readonly line: RuleLine; readonly file: RuleFile };

/** The rules that ask the builtin kmod to load, in order; `names` is empty where it is the MODALIAS. */
export function loadRules({ files }: RuleSet): LoadRule[] {
  return files.flatMap((file) => file.lines.flatMap((line) => line.tokens.flatMap(({ key, value }) => {
    const [builtin, verb, ...names] = value.split(/\s+/);
    return key === 'RUN{builtin}' && builtin === 'kmod' && verb === 'load' ? [{ command: value, names, line, file }] : [];
  })));
}

/**
 * For the event `add` of the device. Only files that ask for modules run, and neither programs nor builtins: what these found is taken
 * from the database, so that nothing is started and nothing is written.
 */
export async function ruleFacts(system: System, rules: RuleSet, device: Device): Promise<RuleFacts> {
  const loading = loadRules(rules);
  if (loading.length === 0) return { outcome: 'none' };
  const record = recordOf(system, device);
  const host = {
    ...systemRulesHost({ ...system, log: QUIET }, { writes: false, record: (other) => recordOf(system, other) }),
    runProgram: () => ({ status: undefined, failure: 'not run', stdout: '', truncated: false }),
  };
  const trace: TraceEntry[] = [];
  const properties = new Map([...kernelProperties(device, system.roots.dev), ...record?.properties ?? []]);
  const files = [...new Set(loading.map(({ file }) => file))];
  const { run } = await applyRules({ files }, { device, action: 'add', properties, record }, host, { trace });
  const asked = run.find(({ type, command }) => type === 'builtin' && /^kmod\s+load\b/.test(command));
  if (asked) return { outcome: 'matched', command: asked.command, source: asked.source };
  // Of the rules that failed, the one for any MODALIAS tells the most.
  const general = loading.find(({ names }) => names.length === 0) ?? loading[0];
  return general ? missed(general, trace) : { outcome: 'none' };
}

function missed({ command, line, file }: LoadRule, trace: readonly TraceEntry[]): RuleFacts {
  const source = { file: line.file, line: line.line };
  const own = trace.find((entry) => entry.file === line.file && entry.line === line.line && entry.outcome === 'no-match');
  if (own) return { outcome: 'missed', command, source, token: own.token, at: source, saw: own.saw };
  // It was passed over: by the last line before it that jumps behind it and matched.
  const position = file.lines.indexOf(line);
  const jump = file.lines.slice(0, position).findLast(({ goto, line: number }) => goto !== undefined && goto > position
    && trace.some((entry) => entry.line === number && entry.file === line.file)
    && !trace.some((entry) => entry.line === number && entry.file === line.file && entry.outcome === 'no-match'));
  if (!jump) return { outcome: 'none' };
  const last = trace.findLast((entry) => entry.file === line.file && entry.line === jump.line);
  return { outcome: 'missed', command, source, token: `${last?.token ?? ''} with GOTO`, at: { file: jump.file, line: jump.line }, saw: last?.saw };
}

const ignore = (): void => undefined;
/** That no builtin is there is our own doing. */
const QUIET = { error: ignore, warn: ignore, notice: ignore, info: ignore, debug: ignore };
