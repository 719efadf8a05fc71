// A coldplug as text: what was loaded for which device and why, or what would be.

import type { Reason, Source } from '../kmod/probe.ts';
import type { ColdplugPlan, ColdplugSummary } from './coldplug.ts';
import { devicesText } from './load.ts';
import { outcomesByModule } from './outcome.ts';
import type { LoadedModule } from './outcome.ts';
import { printable } from './printable.ts';

/** Aliases of cpus and DMI are long; the pattern's start tells enough in a table. */
const REASON_MAX = 72;
/** linux/limits.h. A path that is cut is of no use. */
const PATH_MAX = 4096;

/** The lines of a finished coldplug, without newlines: counts, a table of modules, then what was not loaded. */
export function formatSummary(summary: ColdplugSummary): readonly string[] {
  const { loaded, absent, failed, blacklisted } = outcomesByModule(summary.aliases);
  const lines = [
    `${count(summary.devices, 'device')}, ${count(summary.modaliases, 'modalias', 'modaliases')}, `
    + `${summary.rounds.length === 0 ? '' : `${count(summary.rounds.length, 'round')}, `}${count(loaded.length, 'module')} loaded in ${Math.round(summary.ms)} ms`
    + `${summary.settled ? '' : ' (not settled)'}`,
  ];
  if (loaded.length > 0) {
    const rows = loaded.map((entry) => [entry.module, String(Math.round(entry.ms)), forText(entry), reasonText(entry.reason)] as const);
    lines.push('', ...table(['module', 'ms', 'for', 'reason'], rows));
  }
  if (failed.length > 0) {
    lines.push('', 'failed:');
    for (const { module, devices, failure } of failed) {
      lines.push(`  ${printable(module)} for ${devicesText(devices)}: ${failure.text} (${failure.code})`);
      for (const line of failure.kernel) lines.push(`    kernel: ${printable(line)}`);
    }
  }
  if (absent.length > 0) lines.push('', `no hardware: ${absent.map(({ module }) => printable(module)).join(', ')}`);
  if (blacklisted.length > 0) {
    lines.push('', `blacklisted: ${blacklisted.map(({ module, source }) => printable(module) + sourceText(source)).join(', ')}`);
  }
  return lines;
}

/** The lines of a dry run, without newlines: two for each module that would be loaded, in order, then the counts. */
export function formatDryRun(plan: ColdplugPlan): readonly string[] {
  const lines: string[] = [];
  const would = new Map<string, { readonly path: string; readonly command: string | undefined; readonly because: string }>();
  const ready = new Set<string>();
  const blacklisted = new Map<string, string>();
  let unmatched = 0;
  for (const { devices, result: { goals } } of plan.aliases) {
    if (goals.length === 0) unmatched++;
    for (const goal of goals) {
      if (goal.status === 'ready') ready.add(goal.module);
      if (goal.status === 'blacklisted' || goal.status === 'denied') blacklisted.set(goal.module, sourceText(goal.source));
      for (const { action, module, path, command, reason, outcome } of goal.steps) {
        if (outcome !== 'skipped' || would.has(module)) continue;
        would.set(module, { path, command: action === 'install' ? command : undefined, because: becauseText(reason, devices) });
      }
    }
  }
  for (const [module, { path, command, because }] of would) {
    lines.push(command === undefined ? `would load ${printable(module)} (${printable(path, PATH_MAX)})` : `would run for ${printable(module)}: ${printable(command)}`);
    lines.push(`  because ${because}`);
  }
  for (const [module, source] of blacklisted) lines.push(`would not load ${printable(module)}: blacklisted${source}`);
  lines.push(
    `${count(plan.devices, 'device')}, ${count(plan.aliases.length, 'modalias', 'modaliases')} (${unmatched} without a module), `
    + `${count(would.size, 'module')} to load, ${ready.size} there already, ${blacklisted.size} blacklisted`,
  );
  return lines;
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** A dependency is loaded for its dependant, everything else for devices. */
function forText({ reason, devices }: LoadedModule): string {
  return reason.kind === 'alias' || reason.kind === 'requested' ? devicesText(devices) : printable(reason.from);
}

function reasonText(reason: Reason): string {
  const text = reason.kind === 'alias' ? reason.pattern ?? reason.from : `${reason.kind} of ${reason.from}`;
  return reason.kind === 'requested' ? 'by name' : printable(text, REASON_MAX);
}

function becauseText(reason: Reason, devices: readonly string[]): string {
  const source = sourceText(reason.source);
  switch (reason.kind) {
    case 'alias':
      return `MODALIAS of ${devicesText(devices)} matches ${printable(reason.pattern ?? reason.from)}${source}`;
    case 'requested':
      return `MODALIAS of ${devicesText(devices)} is its name`;
    case 'dep':
      return `${printable(reason.from)} needs it${source}`;
    case 'softdep-pre':
    case 'softdep-post':
      return `${printable(reason.from)} has it as softdep (${reason.kind.slice('softdep-'.length)})${source}`;
    case 'holder':
      return `it uses ${printable(reason.from)}${source}`;
    case 'install':
      return `the install command of ${printable(reason.from)} is configured${source}`;
  }
}

function sourceText(source: Source | undefined): string {
  if (!source) return '';
  return ` (${printable(source.file)}${source.line === undefined ? '' : `:${source.line}`})`;
}

/** Columns as wide as their widest cell, the second one flush right, two blanks between, no blanks at the end. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const cells = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => row.map((cell, column) => {
    const width = widths[column] ?? 0;
    return column === 1 ? cell.padStart(width) : cell.padEnd(width);
  }).join('  ').trimEnd());
}
