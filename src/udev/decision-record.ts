// A record of the journal of decisions: which module was asked for, by whom, what was planned and what came of it. One line of JSON each.

import type { ModuleLoad, Outcome, ProbeResult, Reason } from '../kmod/probe.ts';
import { isObject, parseJsonRecord } from './json-record.ts';

/** A longer line is none of ours. */
export const DECISION_MAX = 1 << 18;

/** What came of one module of a plan. */
export type DecidedModule = { readonly module: string; readonly reason: Pick<Reason, 'kind' | 'from'>; readonly outcome: Outcome };

/** In place of a devpath, for what the kernel asks for itself. */
export const KERNEL_REQUEST = 'request_module';
/** In place of a devpath, for a modprobe that somebody ran. */
export const COMMAND_REQUEST = 'modprobe';

export type Decision = {
  /** A modalias, verbatim, or a module's name or alias. */
  readonly name: string;
  /** The device, KERNEL_REQUEST or COMMAND_REQUEST. */
  readonly devpath: string;
  /** The rule whose RUN asked. */
  readonly rule?: { readonly file: string; readonly line: number };
  readonly at: number;
  readonly ms: number;
  /** The modules that the name stands for, and what they needed; those that it found in the kernel too. */
  readonly modules: readonly DecidedModule[];
  /** What this request loaded itself: a module that another request had under way is in that one's record. */
  readonly loads: readonly ModuleLoad[];
};

/** The modules of a result, the one that was asked for last. */
export function decidedModules({ goals }: ProbeResult): DecidedModule[] {
  return goals.flatMap(({ module, reason, outcome, steps }) => [
    ...steps.filter((step) => step.module !== module).map((step) => ({ module: step.module, reason: bare(step.reason), outcome: step.outcome })),
    { module, reason: bare(reason), outcome },
  ]);
}

function bare({ kind, from }: Reason): DecidedModule['reason'] {
  return { kind, from };
}

export function formatDecision(decision: Decision): string {
  return `${JSON.stringify(decision)}\n`;
}

/** Undefined for what is no such line: a line that was cut off, or one of another version. */
export function parseDecision(line: string): Decision | undefined {
  return parseJsonRecord(line, DECISION_MAX, isDecision);
}

function isDecision(value: unknown): value is Decision {
  if (!isObject(value) || typeof value['name'] !== 'string' || typeof value['devpath'] !== 'string') return false;
  if (typeof value['at'] !== 'number' || typeof value['ms'] !== 'number') return false;
  const { modules, loads, rule } = value;
  if (rule !== undefined && !(isObject(rule) && typeof rule['file'] === 'string' && typeof rule['line'] === 'number')) return false;
  return Array.isArray(modules) && modules.every(isModule) && Array.isArray(loads) && loads.every(isLoad);
}

function isModule(value: unknown): boolean {
  if (!isObject(value) || typeof value['module'] !== 'string' || typeof value['outcome'] !== 'string') return false;
  const { reason } = value;
  return isObject(reason) && typeof reason['kind'] === 'string' && typeof reason['from'] === 'string';
}

function isLoad(value: unknown): boolean {
  if (!isObject(value) || typeof value['module'] !== 'string' || typeof value['path'] !== 'string' || typeof value['outcome'] !== 'string') return false;
  if (!['at', 'waitMs', 'readMs', 'decompressMs', 'initMs'].every((key) => typeof value[key] === 'number')) return false;
  const { failure } = value;
  return failure === undefined || (isObject(failure) && typeof failure['code'] === 'string' && typeof failure['text'] === 'string' && Array.isArray(failure['kernel']));
}
