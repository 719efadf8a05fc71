// The lines that can run for an event, one behind the other: what its action, subsystem and node decide is decided once for all such events.

import { compileRules } from './compile.ts';
import type { CompiledLine, CompiledRules, Step } from './compile.ts';
import type { EventState } from './event-state.ts';
import type { Test } from './match.ts';
import type { RuleLine, RuleSet } from './rule.ts';

export type ProgramLine = {
  readonly line: RuleLine;
  readonly steps: readonly Step[];
  /** The index in the program to go on at when all steps match. */
  readonly next: number;
};

export type Program = readonly ProgramLine[];

/** Programs kept for one set of rules: more than machines have kinds of events, which only whoever invents uevents comes near. */
const PROGRAMS_MAX = 512;

const known = new WeakMap<RuleSet, Map<string, Program>>();

/**
 * What runs for an event. `gate` says what the device can have: lines whose every effect it cannot have are left out. `whole` keeps all else,
 * for those who want to know of each line whether it matched; without it, what cannot match is left out too. Made once, and kept as long as
 * the rules are.
 */
export function programOf(rules: RuleSet, state: EventState, gate: number, whole: boolean): Program {
  let programs = known.get(rules);
  if (!programs) known.set(rules, programs = new Map());
  const key = whole ? String(gate) : `${gate} ${state.action} ${state.device.subsystem ?? ''}`;
  const made = programs.get(key);
  if (made) return made;
  if (programs.size >= PROGRAMS_MAX) programs.clear();
  const program = makeProgram(compileRules(rules), gate, whole ? undefined : state);
  programs.set(key, program);
  return program;
}

/** Of every event, or of those that are like that of `state`. */
function makeProgram(files: CompiledRules, gate: number, state: EventState | undefined): Program {
  const program: ProgramLine[] = [];
  for (const lines of files) {
    const kept = reachableLines(lines, gate, state);
    const start = program.length;
    for (const { at, compiled: { line, goto }, steps } of kept) {
      const target = goto > at ? kept.findIndex((other) => other.at >= goto) : -1;
      const next = goto <= at ? program.length + 1 : start + (target < 0 ? kept.length : target);
      program.push({ line, steps, next });
    }
  }
  return program;
}

type KeptLine = { readonly at: number; readonly compiled: CompiledLine; readonly steps: readonly Step[] };

function reachableLines(lines: readonly CompiledLine[], gate: number, state: EventState | undefined): KeptLine[] {
  const kept: KeptLine[] = [];
  /** Where lines that may run lead to. */
  const targets: number[] = [];
  // A GOTO that nothing guards: needed only where it passes over something.
  let jump: KeptLine | undefined;
  for (let at = 0; at < lines.length; at++) {
    const compiled = lines[at];
    if (!compiled || (compiled.gate & gate) === 0 || (state && !fits(compiled.fixed, state))) continue;
    const line = { at, compiled, steps: state ? compiled.rest : compiled.steps };
    if (jump && jump.compiled.goto > at) kept.push(jump);
    jump = undefined;
    const { goto } = compiled;
    if (goto > at) targets.push(goto);
    if (goto <= at || line.steps.length > 0) kept.push(line);
    else {
      if (state) jump = line;
      else kept.push(line);
      // What follows can only be come at by a GOTO.
      const after = at;
      at = Math.min(lines.length, ...targets.filter((target) => target > after)) - 1;
    }
  }
  return kept;
}

function fits(tests: readonly Test[], state: EventState): boolean {
  for (let i = 0; i < tests.length; i++) if (!tests[i]?.(state)) return false;
  return true;
}
