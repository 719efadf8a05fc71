// What a run of rules did, rule by rule: for people who ask why, and for the coverage of rules by tests.

import type { TraceEntry } from './event-result.ts';
import type { EventState } from './event-state.ts';
import type { Step } from './compile.ts';
import type { RuleLine, RuleSet, Token } from './rule.ts';

/** How often each line ran (its gate was open and no GOTO passed it over), and how often all of it matched. */
export type Coverage = Map<RuleLine, { ran: number; matched: number }>;

/** The lines that no event matched, of those that could have had an effect. */
export function neverMatched(rules: RuleSet, coverage: Coverage): readonly RuleLine[] {
  return rules.files.flatMap(({ lines }) => lines).filter((line) => line.effects.length > 0 && (coverage.get(line)?.matched ?? 0) === 0);
}

export function count(coverage: Coverage, line: RuleLine, matched: boolean): void {
  const entry = coverage.get(line);
  if (!entry) coverage.set(line, { ran: 1, matched: matched ? 1 : 0 });
  else {
    entry.ran++;
    if (matched) entry.matched++;
  }
}

/** A token as a rule has it. */
export function formatToken({ key, attr, op, value, ignoreCase }: Token): string {
  const bare = key.replace(/[?#]$/, '');
  const [name, sub = attr] = bare.endsWith('}') ? [bare] : bare === 'static_node' ? ['OPTIONS'] : [bare];
  const braces = sub === undefined || name === 'OPTIONS' ? '' : `{${sub}}`;
  const text = bare === 'static_node' ? `static_node=${value}` : name === 'OPTIONS' && attr !== undefined ? optionText(attr, value) : value;
  return `${name}${braces}${op}${ignoreCase ? 'i' : ''}"${text.replaceAll('"', '\\"')}"`;
}

/** Appends what one step came to. */
export function record(state: EventState, step: Step, passed: boolean): void {
  const { trace, line } = state;
  // A rule in TypeScript notes what it does itself.
  if (!trace || !line || step.kind === 'handler') return;
  const at = { file: line.file, line: line.line };
  if (step.kind === 'parents') {
    trace.push(...parentEntries(state, step, passed).map((entry) => ({ ...at, ...entry })));
    return;
  }
  const outcome = step.kind === 'action' ? state.outcome : passed ? 'match' : 'no-match';
  trace.push({ ...at, token: formatToken(step.token), outcome, ...(state.saw !== undefined && { saw: state.saw }) });
}

function optionText(name: string, value: string): string {
  return value === '' || value === name || value.startsWith(`${name}=`) ? value || name : `${name}=${value}`;
}

type ParentEntry = Pick<TraceEntry, 'token' | 'outcome' | 'saw'>;

/** Where all matched, that device; where none had them all, for each token the nearest device that it would have matched. */
function parentEntries(state: EventState, step: Extract<Step, { kind: 'parents' }>, passed: boolean): ParentEntry[] {
  return step.tests.map((test, i) => {
    const token = step.tokens[i];
    const entry = (device: EventState['device'] | undefined): ParentEntry => ({
      token: token ? formatToken(token) : '',
      outcome: device ? 'match' : 'no-match',
      ...(device && { saw: `${state.saw ?? ''} at ${device.devpath}` }),
    });
    for (let device = passed ? state.parent : state.device; device; device = device.parent) {
      if (test(state, device)) return entry(device);
    }
    return entry(undefined);
  });
}
