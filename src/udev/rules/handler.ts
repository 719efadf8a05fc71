// Runs a rule in TypeScript on one event, as a line of a .rules file is run.

import { messageOf } from '../../errors.ts';
import { readActions } from './actions.ts';
import type { Actions } from './actions.ts';
import { compileAction } from './assign.ts';
import type { DeviceEvent, DeviceRule } from './device-rule.ts';
import type { TraceEntry } from './event-result.ts';
import { fullProperties } from './event-state.ts';
import type { EventState } from './event-state.ts';
import { formatToken } from './trace.ts';

/** How long an event waits for an answer. A rule that does not give the thread back cannot be stopped. */
export const RULE_TIMEOUT_MS = 10_000;

/** What became of the promise of a rule. */
export type Settled = { readonly value: unknown } | { readonly error: unknown };

/** A rule whose answer is not there yet. */
export type PendingRule = {
  readonly type: 'handler';
  /** Never rejects. */
  readonly wait: (signal: AbortSignal | undefined) => Promise<Settled>;
  readonly finish: (settled: Settled) => boolean;
};

/** A rule without a promise is done at once. What it throws, and what cannot be done, costs the rule only, and is logged. */
export function runHandler(state: EventState, rule: DeviceRule): boolean | PendingRule {
  const controller = new AbortController();
  let value: unknown;
  try {
    value = rule(state.device, eventOf(state, controller.signal));
    if (!isPromise(value)) return take(state, value);
  } catch (error) {
    return blame(state, error);
  }
  const promise = value;
  return {
    type: 'handler',
    wait: (signal) => settle(promise, state, controller, signal),
    finish(settled) {
      try {
        if ('error' in settled) throw settled.error;
        return take(state, settled.value);
      } catch (error) {
        return blame(state, error);
      }
    },
  };
}

/** What the rule sees is its own: nothing that it does to it changes the event. */
function eventOf(state: EventState, signal: AbortSignal): DeviceEvent {
  const { action, record, name, owner, group, mode } = state;
  return {
    action, name, owner, group, mode, signal,
    get properties() {
      return fullProperties(state, state.host.roots.dev);
    },
    get symlinks() {
      return [...state.links];
    },
    get tags() {
      return [...state.currentTags];
    },
    get stored() {
      return new Map(record?.properties);
    },
  };
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

async function settle(promise: PromiseLike<unknown>, { host }: EventState, controller: AbortController, signal: AbortSignal | undefined): Promise<Settled> {
  const done = new AbortController();
  const timeout = host.system.clock.sleep(RULE_TIMEOUT_MS, signal ? AbortSignal.any([signal, done.signal]) : done.signal)
    .then(() => Promise.reject(new Error(`no answer within ${RULE_TIMEOUT_MS / 1000} s`)));
  try {
    return { value: await Promise.race([promise, timeout]) };
  } catch (error) {
    controller.abort(error);
    return { error };
  } finally {
    done.abort();
  }
}

/** All or nothing is read before the first is done. */
function take(state: EventState, value: unknown): boolean {
  const actions = readActions(value);
  note(state, RULE_TOKEN, actions ? 'match' : 'no-match');
  if (!actions) return false;
  clearLists(state, actions);
  for (const token of actions.tokens) {
    state.outcome = 'applied';
    state.saw = undefined;
    compileAction(token)?.(state);
    note(state, formatToken(token), state.outcome, state.saw);
  }
  for (const key of actions.frozen) state.frozen.add(key);
  return true;
}

/** What the trace has for the rule itself. */
const RULE_TOKEN = 'rule(device, event)';

function clearLists(state: EventState, { cleared }: Actions): void {
  for (const list of cleared) {
    if (list === 'tags') {
      state.tags.clear();
      state.currentTags.clear();
    } else if (list === 'run' && !state.frozen.has('RUN')) state.run.length = 0;
    else if (list === 'symlinks' && !state.frozen.has('SYMLINK')) state.links.clear();
  }
}

function blame(state: EventState, error: unknown): false {
  const { host, device, line } = state;
  const file = line?.file ?? '';
  host.log.error({ code: 'rule-failed', message: `${device.sysname}: ${file}: the rule failed: ${messageOf(error)}`, file });
  note(state, RULE_TOKEN, 'failed', messageOf(error));
  return false;
}

function note({ trace, line }: EventState, token: string, outcome: TraceEntry['outcome'], saw?: string): void {
  if (trace && line) trace.push({ file: line.file, line: line.line, token, outcome, ...(saw !== undefined && { saw }) });
}
