// The dry run of a plan: what executing it would come to, without doing anything.

import { deniedFailure, errnoFailure } from './failure.ts';
import { type LiveModules, liveWithout } from './live.ts';
import type { ExecuteOptions } from './loader.ts';
import type { GoalResult, Outcome, ProbeFailure, ProbeGoal, ProbePlan, ProbeResult, ProbeStep, StepResult } from './probe.ts';

type Rehearsal = {
  readonly ignoreLoaded: boolean | undefined;
  readonly onStep: ExecuteOptions['onStep'];
  readonly live: LiveModules;
  /** The kernel as it would be after the removals so far. */
  readonly modules: Pick<LiveModules, 'state' | 'refcnt'>;
  readonly removed: Set<string>;
};

/**
 * The result of a plan whose steps are announced and not taken; `ms` is 0 throughout.
 * @param strict as kmod's dry run: no removal frees what the module used
 */
export function rehearse({ target, goals, warnings }: ProbePlan, live: LiveModules, options: ExecuteOptions, strict = false): ProbeResult {
  const { ignoreLoaded, onStep, removed = new Set() } = options;
  const rehearsal: Rehearsal = { ignoreLoaded, onStep, live, modules: strict ? live : liveWithout(live, removed), removed };
  return { target, warnings, ms: 0, goals: goals.map((goal) => settledGoal(goal, live) ?? finishedGoal(goal, rehearseSteps(goal.steps, rehearsal))) };
}

/** The result of a goal for which there is nothing to do; undefined for the others. */
export function settledGoal(goal: ProbeGoal, live: LiveModules): GoalResult | undefined {
  if (goal.status === 'blacklisted') return { ...goal, outcome: 'blacklisted', steps: [] };
  if (goal.status === 'denied') return { ...goal, outcome: 'denied', failure: deniedFailure(goal), steps: [] };
  if (goal.status === 'ready') return { ...goal, outcome: live.state(goal.module) === 'live' ? 'live' : 'builtin', steps: [] };
  return undefined;
}

/** The result of a goal, from those of its steps. */
export function finishedGoal(goal: ProbeGoal, steps: readonly StepResult[]): GoalResult {
  const { module, reason, status } = goal;
  const failed = steps.find((result) => result.outcome === 'failed' && result.required);
  const last = steps.findLast((result) => result.module === module && result.reason.kind === reason.kind);
  // With a holder what it needs goes too, before its own turn comes.
  const own = last?.outcome === 'not-loaded' ? steps.find((result) => result.module === module && result.outcome !== 'not-loaded') ?? last : last;
  const outcome = failed ? 'failed' : own?.outcome ?? 'skipped';
  return failed?.failure ? { module, reason, status, outcome, failure: failed.failure, steps } : { module, reason, status, outcome, steps };
}

/** Why a module is not removed: it is in use. */
export function inUseFailure(): ProbeFailure {
  return { ...errnoFailure('EAGAIN', 'delete_module'), text: 'in use' };
}

/** One after the other: only a removal can fail here, and removals wait for each other. */
function rehearseSteps(steps: readonly ProbeStep[], rehearsal: Rehearsal): StepResult[] {
  const results: StepResult[] = [];
  let aborted = false;
  for (const step of steps) {
    const outcome = aborted ? 'skipped' : outcomeOf(step, rehearsal);
    if (outcome === 'failed') aborted ||= step.required;
    results.push(resultOf(step, outcome));
  }
  return results;
}

function resultOf(step: ProbeStep, outcome: Outcome): StepResult {
  const { action, module, path, params, command, reason, after, required } = step;
  // Written out: `...step` costs V8 ten microseconds, and with -a -D there are many thousands.
  const result = { action, module, path, params, reason, after, required, outcome, ms: 0 };
  if (command === undefined && outcome !== 'failed') return result;
  return { ...result, ...(command === undefined ? {} : { command }), ...(outcome === 'failed' ? { failure: inUseFailure() } : {}) };
}

function outcomeOf(step: ProbeStep, { live, modules, removed, ignoreLoaded, onStep }: Rehearsal): Outcome {
  switch (step.action) {
    case 'builtin':
      if (ignoreLoaded) onStep?.(step);
      return 'builtin';
    case 'insmod':
    case 'install':
      if (!ignoreLoaded && live.state(step.module) === 'live') return 'live';
      break;
    case 'remove':
      break;
    case 'rmmod': {
      // What the module needed goes only where it is there and idle, also when nothing else is asked of the kernel.
      if (ignoreLoaded && step.reason.kind !== 'dep') break;
      if (modules.state(step.module) === undefined) return 'not-loaded';
      const users = modules.refcnt(step.module);
      // What the module needed may well be needed by others too.
      if (users !== 0 && step.reason.kind === 'dep') return 'skipped';
      // Undefined: a kernel that cannot unload says so itself.
      if (users !== 0 && users !== undefined) return 'failed';
      removed.add(step.module);
    }
  }
  onStep?.(step);
  return 'skipped';
}
