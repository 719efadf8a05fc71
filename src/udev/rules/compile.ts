// Rules made ready to run: per line, what can be known before any event comes.

import { compileAction } from './assign.ts';
import type { Action } from './assign.ts';
import type { EventState } from './event-state.ts';
import { runHandler } from './handler.ts';
import type { PendingRule } from './handler.ts';
import { compileImport } from './imports.ts';
import type { Import } from './imports.ts';
import { compileMatch, compileParentMatch } from './match.ts';
import type { ParentTest, Test } from './match.ts';
import type { RuleLine, RuleSet, Token } from './rule.ts';

/** What a line can do, as bits, and what an event allows. */
export const GATE_ALWAYS = 1;
export const GATE_NODE = 2;
export const GATE_NAME = 4;

export type Step =
  | { readonly kind: 'test'; readonly token: Token; readonly run: Test }
  | { readonly kind: 'import'; readonly token: Token; readonly run: Import }
  | { readonly kind: 'handler'; readonly run: (state: EventState) => boolean | PendingRule }
  | { readonly kind: 'action'; readonly token: Token; readonly run: Action }
  | { readonly kind: 'parents'; readonly tokens: readonly Token[]; readonly tests: readonly ParentTest[]; readonly run: Test };

export type CompiledLine = {
  readonly line: RuleLine;
  readonly gate: number;
  readonly steps: readonly Step[];
  /** Those of `steps` that are the same for all events of one action and subsystem, and the others. */
  readonly fixed: readonly Test[];
  readonly rest: readonly Step[];
  /** An index in the lines of the file, or -1. */
  readonly goto: number;
};

export type CompiledRules = readonly (readonly CompiledLine[])[];

const compiled = new WeakMap<RuleSet, CompiledRules>();

/** Made once for a set of rules, and kept as long as that is. */
export function compileRules(rules: RuleSet): CompiledRules {
  const known = compiled.get(rules);
  if (known) return known;
  const made = rules.files.map((file) => file.lines.map(compileLine));
  compiled.set(rules, made);
  return made;
}

function compileLine(line: RuleLine): CompiledLine {
  const gate = line.effects.reduce((bits, effect) => bits | GATES[effect], 0);
  const { handler } = line;
  const steps = handler ? [{ kind: 'handler', run: (state: EventState) => runHandler(state, handler) } as const] : compileSteps(line.tokens);
  const fixed = steps.flatMap((step) => (isFixed(step) ? [step.run] : []));
  return { line, gate, steps, fixed, rest: fixed.length === 0 ? steps : steps.filter((step) => !isFixed(step)), goto: line.goto ?? -1 };
}

function isFixed(step: Step): step is Extract<Step, { kind: 'test' }> {
  return step.kind === 'test' && (step.token.key === 'ACTION' || step.token.key === 'SUBSYSTEM');
}

const GATES = { always: GATE_ALWAYS, node: GATE_NODE, name: GATE_NAME } as const;

/** The tokens of the parents, which are together in the order of kinds, become one step. */
function compileSteps(tokens: readonly Token[]): Step[] {
  const steps: Step[] = [];
  const parents: { token: Token; test: ParentTest }[] = [];
  for (const token of tokens) {
    const test = compileParentMatch(token);
    if (test) {
      if (parents.length === 0) steps.push(parentStep(parents));
      parents.push({ token, test });
    } else {
      steps.push(ownStep(token));
    }
  }
  return steps;
}

function ownStep(token: Token): Step {
  const match = compileMatch(token);
  if (match) return { kind: 'test', token, run: match };
  const imported = compileImport(token);
  if (imported) return { kind: 'import', token, run: imported };
  const action = compileAction(token);
  return { kind: 'action', token, run: action ?? (() => undefined) };
}

/** `parents` is filled after this returns. */
function parentStep(parents: readonly { token: Token; test: ParentTest }[]): Step {
  return {
    kind: 'parents',
    get tokens() {
      return parents.map(({ token }) => token);
    },
    get tests() {
      return parents.map(({ test }) => test);
    },
    run: (state) => {
      for (let device = state.device; ; ) {
        if (allMatch(parents, state, device)) {
          state.parent = device;
          return true;
        }
        const { parent } = device;
        if (!parent) break;
        device = parent;
      }
      state.parent = undefined;
      return false;
    },
  };
}

function allMatch(parents: readonly { test: ParentTest }[], state: EventState, device: EventState['device']): boolean {
  for (const { test } of parents) if (!test(state, device)) return false;
  return true;
}
