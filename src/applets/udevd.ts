// tsudevd: loads the modules of the devices that are there and of those that come.

import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { messageOf } from '../errors.ts';
import { openKmod } from '../kmod/kmod.ts';
import type { KmodOptions } from '../kmod/kmod.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { openReopened } from '../kmod/reopened-source.ts';
import type { LogLevel, System } from '../system.ts';
import { coldplug, planColdplug } from '../udev/coldplug.ts';
import { openNotifier } from '../udev/notify.ts';
import { formatDryRun, formatSummary } from '../udev/summary.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { kmsgLog, stderrLog } from './log.ts';
import { MACHINE_OPTION, requireRunningKernel, withMachine } from './machine-option.ts';
import { modulesAt } from './modules-option.ts';
import { openProgress } from './progress.ts';
import type { Progress } from './progress.ts';
import { jsonLine, keepAlive, progressText, statusOf, stay, textOf, workOnce } from './udevd-daemon.ts';
import type { UdevdKmod, UdevdRun } from './udevd-daemon.ts';
import { parseUdevdCommand, UDEVD_OPTIONS, udevdHelp } from './udevd-options.ts';
import type { UdevdCommand } from './udevd-options.ts';
import { helpFor } from './standard-options.ts';

export const udevdApplet: Applet = {
  name: 'udevd',
  summary: 'apply udev rules to devices and load their modules, at once and as they come',
  options: [...UDEVD_OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, runUdevd, { modulesOnly: true }),
};

/** Makes the Kmod; tests pass one that touches no kernel. */
export type KmodFactory = (system: System, options: KmodOptions) => UdevdKmod;

/** Resolves with the exit code. Throws UsageError. */
export async function runUdevd(argv: readonly string[], context: AppletContext, open: KmodFactory = openKmod): Promise<number> {
  const command = parseUdevdCommand(argv, context.program);
  if (command.mode === 'help') {
    context.stdout(helpFor(udevdHelp(context.program), context));
    return 0;
  }
  if (command.mode === 'version') {
    context.stdout(`tsmodprobe ${VERSION}\n`);
    return 0;
  }
  if (command.mode !== 'dry-run') requireRunningKernel(context, 'use --dry-run');
  if (command.background && command.listeningFd === undefined) {
    return (await import('./udevd-background.ts')).startInBackground(argv, context, command);
  }
  const progress = openProgress((text) => context.stderr(text), { enabled: context.isTty.stderr });
  let level = command.logLevel;
  const system = openSystemFor(command, context, progress, () => level);
  const needsModules = command.noRules || command.mode === 'dry-run';
  const source = await openReopened(() => modulesAt(system, command.modules, context.program));
  const hasModules = hasIndexes(source, system, needsModules ? 'error' : 'warn');
  if (needsModules && !hasModules) return 1;
  const kmod = !hasModules ? noModules : open(system, { source, configPaths: command.configPaths, ...(command.jobs === undefined ? {} : { jobs: command.jobs }) });
  const setLogLevel = (next: LogLevel): void => {
    level = next;
  };
  const run: UdevdRun = { command, context, system, source, kmod, progress, setLogLevel };
  try {
    if (command.mode === 'dry-run') return await dryRun(run);
    if (command.mode === 'coldplug' && command.noRules && command.until === undefined) return await coldplugOnly(run);
    return command.mode === 'coldplug' ? await workOnce(run) : await stay(run);
  } catch (error) {
    progress.clear();
    system.log.error({ code: 'udevd-failed', message: messageOf(error) });
    return 1;
  } finally {
    await kmod.close();
    source.close();
  }
}

/** Nodes, links and the database need no modules. */
const noModules: UdevdKmod = {
  plan: (target) => ({ target, goals: [], warnings: [] }),
  execute: async ({ target }) => ({ target, goals: [], warnings: [], ms: 0 }),
  reload: () => undefined,
  close: async () => undefined,
};

function openSystemFor(command: UdevdCommand, context: AppletContext, progress: Progress, level: () => LogLevel): System {
  const { program } = context;
  const stderr = stderrLog({ program, level, write: (text) => progress.print(text) });
  const path = `${command.root === undefined || command.root === '/' ? '' : command.root}/dev/kmsg`;
  return context.openSystem({
    log: command.logTarget === 'kmsg' ? kmsgLog({ path, program, pid: process.pid, level, fallback: stderr }) : stderr,
    ...(command.sysfs === undefined ? {} : { roots: { sys: command.sysfs } }),
    ...(command.root === undefined ? {} : { root: command.root }),
    ...(command.release === undefined ? {} : { release: command.release }),
  });
}

/** Says what is missing and what to do, when there are no modules with an index. */
function hasIndexes(tree: ModuleSource, system: System, severity: 'error' | 'warn'): boolean {
  if (tree.exists('modules.alias.bin') || tree.exists('modules.alias')) return true;
  if (tree.kind !== 'tree' || tree.exists('.')) {
    system.log[severity]({ code: 'no-index', message: `${tree.name} has no modules.alias: run depmod ${system.release}` });
    return false;
  }
  const others = releasesIn(dirname(tree.name));
  const advice = others.length === 0 ? 'name another place with --modules' : `name one of these with --release: ${others.join(', ')}`;
  system.log[severity]({ code: 'no-tree', message: `no module tree ${tree.name}: ${advice}` });
  return false;
}

function releasesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // Then there is nothing to suggest.
  }
}

async function dryRun({ command, context, system, kmod }: UdevdRun): Promise<number> {
  const plan = await planColdplug(system, kmod);
  context.stdout(command.json ? jsonLine(plan) : textOf(formatDryRun(plan)));
  return 0;
}

/** Without rules: rounds of walks, which need no uevent socket. */
async function coldplugOnly({ command, context, system, kmod, progress }: UdevdRun): Promise<number> {
  const stop = new AbortController();
  const restore = context.signals({ SIGTERM: () => stop.abort(), SIGINT: () => stop.abort() });
  const release = keepAlive();
  try {
    const summary = await coldplug(system, kmod, {
      signal: stop.signal, settleMs: command.settleMs, onProgress: (state) => progress.show(progressText(state)),
    });
    progress.clear();
    context.stdout(command.json ? jsonLine(summary) : textOf(formatSummary(summary)));
    if (command.readyFd !== undefined) await openNotifier(system, { readyFd: command.readyFd }).ready(statusOf(summary));
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    progress.clear();
    system.log.error({ code: 'interrupted', message: 'interrupted before the coldplug had settled' });
    return 1;
  } finally {
    release();
    restore();
  }
}
