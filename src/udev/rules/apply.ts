// Runs rules on one event: which lines, in which order, and what is waited for.

import type { BuiltinOutcome } from '../builtin/builtin.ts';
import { messageOf } from '../../errors.ts';
import type { ProgramResult } from '../program.ts';
import { GATE_ALWAYS, GATE_NAME, GATE_NODE } from './compile.ts';
import type { Step } from './compile.ts';
import type { EventResult, TraceEntry } from './event-result.ts';
import { finishEvent, fullProperties, startEvent } from './event-state.ts';
import type { EventState, RuleEvent } from './event-state.ts';
import type { PendingRule, Settled } from './handler.ts';
import type { RulesHost } from './host.ts';
import type { Pending } from './imports.ts';
import { programOf } from './program.ts';
import type { RuleSet } from './rule.ts';
import { count, record } from './trace.ts';
import type { Coverage } from './trace.ts';

export type ApplyOptions = {
  /** Gets an entry for every token that was looked at. */
  readonly trace?: TraceEntry[];
  readonly coverage?: Coverage;
  readonly signal?: AbortSignal;
};

/**
 * What the rules make of one event. Attributes and sysctls are written through the host, at once and in the order of the rules; everything
 * else is in the result. An event whose rules run no program and nothing that gives a promise is answered without a promise.
 * Rejects only when `signal` is aborted.
 */
export function applyRules(rules: RuleSet, event: RuleEvent, host: RulesHost, options: ApplyOptions = {}): EventResult | Promise<EventResult> {
  const state = startEvent(event, host, options.trace);
  const run = runRules(rules, state, options.coverage);
  return proceed(run, undefined, state, options.signal);
}

type Answer = ProgramResult | BuiltinOutcome | Settled;
type Run = Generator<Pending | PendingRule, void, Answer>;

function* runRules(rules: RuleSet, state: EventState, coverage: Coverage | undefined): Run {
  const program = programOf(rules, state, gateOf(state), state.trace !== undefined || coverage !== undefined);
  for (let at = 0; at < program.length;) {
    const line = program[at];
    if (!line) break;
    const { steps } = line;
    state.line = line.line;
    state.escape = 'unset';
    let matched = true;
    for (let i = 0; matched && i < steps.length; i++) {
      const step = steps[i];
      if (!step) break;
      if (step.kind === 'import' || step.kind === 'handler') {
        const outcome = step.run(state);
        matched = typeof outcome === 'boolean' ? outcome : finish(outcome, yield outcome);
      } else {
        matched = runStep(step, state);
      }
      if (state.trace) record(state, step, matched);
    }
    if (coverage) count(coverage, line.line, matched);
    at = matched ? line.next : at + 1;
  }
}

/** On `remove` neither nodes nor names are made. */
function gateOf({ action, device }: EventState): number {
  if (action === 'remove') return GATE_ALWAYS;
  return GATE_ALWAYS | (device.devnum ? GATE_NODE : 0) | (device.ifindex === undefined ? 0 : GATE_NAME);
}

function runStep(step: Exclude<Step, { kind: 'import' | 'handler' }>, state: EventState): boolean {
  if (step.kind !== 'action') return step.run(state);
  state.outcome = 'applied';
  step.run(state);
  return true;
}

function finish(pending: Pending | PendingRule, answer: Answer): boolean {
  // The answer is that of this request: what `perform` gives for its type.
  if (pending.type === 'handler') return pending.finish(answer as Settled);
  return pending.type === 'program' ? pending.finish(answer as ProgramResult) : pending.finish(answer as BuiltinOutcome);
}

function proceed(run: Run, first: Answer, state: EventState, signal: AbortSignal | undefined): EventResult | Promise<EventResult> {
  for (let step = run.next(first); ;) {
    if (step.done) return finishEvent(state);
    const answer = perform(step.value, state, signal);
    if (answer instanceof Promise) {
      return answer.then((value) => {
        signal?.throwIfAborted();
        return proceed(run, value, state, signal);
      });
    }
    step = run.next(answer);
  }
}

function perform(pending: Pending | PendingRule, state: EventState, signal: AbortSignal | undefined): Answer | Promise<Answer> {
  const { host, device, action } = state;
  if (pending.type === 'handler') return pending.wait(signal);
  if (pending.type === 'program') {
    return host.runProgram(pending.command, fullProperties(state, host.roots.dev));
  }
  const { builtin, argv } = pending;
  const failed = (error: unknown): undefined => {
    host.log.debug({ code: 'builtin-failed', message: `${device.sysname}: Failed to run builtin '${argv.join(' ')}': ${messageOf(error)}` });
  };
  try {
    const outcome = builtin.run({ system: host.system, device, properties: state.properties, action, findDevice: host.deviceOf, ...(signal && { signal }) }, argv);
    return outcome instanceof Promise ? outcome.catch(failed) : outcome;
  } catch (error) {
    // A device that vanishes meanwhile must not cost the event.
    return failed(error);
  }
}

