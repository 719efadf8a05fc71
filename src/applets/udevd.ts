// tsudevd: loads the modules of the devices that are there and of those that come.

import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { messageOf } from '../errors.ts';
import { configDirectories } from '../kmod/config-files.ts';
import { openKmod } from '../kmod/kmod.ts';
import type { Kmod, KmodOptions } from '../kmod/kmod.ts';
import { openTree } from '../kmod/tree-source.ts';
import type { System } from '../system.ts';
import { coldplug, planColdplug } from '../udev/coldplug.ts';
import type { ColdplugProgress, ColdplugSummary } from '../udev/coldplug.ts';
import type { EventResult } from '../udev/load.ts';
import { openNotifier } from '../udev/notify.ts';
import { formatDryRun, formatSummary } from '../udev/summary.ts';
import { startUdevd } from '../udev/udevd.ts';
import type { Udevd } from '../udev/udevd.ts';
import { watchConfig } from '../udev/watch.ts';
import type { ConfigWatch } from '../udev/watch.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { kmsgLog, stderrLog } from './log.ts';
import { openProgress } from './progress.ts';
import type { Progress } from './progress.ts';
import { parseUdevdCommand, udevdHelp } from './udevd-options.ts';
import type { UdevdCommand } from './udevd-options.ts';

export const udevdApplet: Applet = {
  name: 'udevd',
  summary: 'load the modules of devices, at once and as they come',
  run: (argv, context) => runUdevd(argv, context),
};

/** Makes the Kmod; tests pass one that touches no kernel. */
export type KmodFactory = (system: System, options: KmodOptions) => Pick<Kmod, 'plan' | 'execute' | 'reload' | 'close'>;

/** Resolves with the exit code. Throws UsageError. */
export async function runUdevd(argv: readonly string[], context: AppletContext, open: KmodFactory = openKmod): Promise<number> {
  const command = parseUdevdCommand(argv, context.program);
  if (command.mode === 'help') {
    context.stdout(udevdHelp(context.program));
    return 0;
  }
  if (command.mode === 'version') {
    context.stdout(`tsmodprobe ${VERSION}\n`);
    return 0;
  }
  const progress = openProgress((text) => context.stderr(text), { enabled: context.isTty.stderr });
  const system = openSystemFor(command, context, progress);
  if (!isModuleTree(system)) return 1;
  const kmod = open(system, { configPaths: command.configPaths, ...(command.jobs === undefined ? {} : { jobs: command.jobs }) });
  const run = { command, context, system, kmod, progress };
  try {
    if (command.mode === 'dry-run') return await dryRun(run);
    return command.mode === 'coldplug' ? await coldplugOnly(run) : await daemon(run);
  } catch (error) {
    progress.clear();
    system.log.error({ code: 'udevd-failed', message: messageOf(error) });
    return 1;
  } finally {
    await kmod.close();
  }
}

type Run = {
  readonly command: UdevdCommand;
  readonly context: AppletContext;
  readonly system: System;
  readonly kmod: ReturnType<KmodFactory>;
  readonly progress: Progress;
};

function openSystemFor(command: UdevdCommand, context: AppletContext, progress: Progress): System {
  const { program } = context;
  const level = command.logLevel;
  const stderr = stderrLog({ program, level, write: (text) => progress.print(text) });
  const path = `${command.root === undefined || command.root === '/' ? '' : command.root}/dev/kmsg`;
  return context.openSystem({
    log: command.logTarget === 'kmsg' ? kmsgLog({ path, program, pid: process.pid, level, fallback: stderr }) : stderr,
    roots: {
      ...(command.sysfs === undefined ? {} : { sys: command.sysfs }),
      ...(command.modules === undefined ? {} : { modules: command.modules }),
    },
    ...(command.root === undefined ? {} : { root: command.root }),
    ...(command.release === undefined ? {} : { release: command.release }),
  });
}

/** Says what is missing and what to do, when there is no module tree with an index. */
function isModuleTree(system: System): boolean {
  const tree = openTree(system);
  if (tree.exists('modules.alias.bin') || tree.exists('modules.alias')) return true;
  if (tree.exists('.')) {
    system.log.error({ code: 'no-index', message: `${tree.name} has no modules.alias: run depmod ${system.release}` });
    return false;
  }
  const others = releasesIn(dirname(tree.name));
  const advice = others.length === 0 ? 'name another place with --modules' : `name one of these with --release: ${others.join(', ')}`;
  system.log.error({ code: 'no-tree', message: `no module tree ${tree.name}: ${advice}` });
  return false;
}

function releasesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // Then there is nothing to suggest.
  }
}

async function dryRun({ command, context, system, kmod }: Run): Promise<number> {
  const plan = await planColdplug(system, kmod);
  context.stdout(command.json ? jsonLine(plan) : textOf(formatDryRun(plan)));
  return 0;
}

async function coldplugOnly({ command, context, system, kmod, progress }: Run): Promise<number> {
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

async function daemon({ command, context, system, kmod, progress }: Run): Promise<number> {
  const stop = new AbortController();
  const notifier = openNotifier(system, { socket: context.env['NOTIFY_SOCKET'], readyFd: command.readyFd });
  let udevd: Udevd | undefined;
  let status = 'ready';
  let isReady = false;
  const reload = async (why: string): Promise<void> => {
    if (isReady) await notifier.reloading();
    udevd?.reload();
    system.log.notice({ code: 'reloaded', message: `configuration and indexes will be read again (${why})` });
    if (isReady) await notifier.ready(status);
  };
  const end = (): void => {
    stop.abort();
    runDetached(system, notifier.stopping());
  };
  const restore = context.signals({ SIGTERM: end, SIGINT: end, SIGHUP: () => runDetached(system, reload('SIGHUP')) });
  const release = keepAlive();
  let watch: ConfigWatch | undefined;
  try {
    udevd = await startUdevd(system, kmod, {
      signal: stop.signal,
      skipColdplug: command.skipColdplug,
      onProgress: (state) => {
        if (!isReady) progress.show(progressText(state));
      },
      onColdplug: (summary) => {
        progress.clear();
        status = statusOf(summary);
        system.log.notice({ code: 'coldplug', message: status });
        if (command.json) context.stdout(jsonLine(summary));
      },
      onEvent: (result) => {
        if (command.json) context.stdout(jsonLine(eventObject(result)));
      },
    });
    const { ready, stopped } = udevd;
    // Whatever fails first ends the daemon.
    await Promise.race([ready, stopped]);
    if (!stop.signal.aborted) {
      isReady = true;
      await notifier.ready(status);
      watch = await watchOrWarn(system, command, (path) => runDetached(system, reload(`${path} changed`)));
    }
    await stopped;
    return 0;
  } catch (error) {
    // After a stop, `ready` rejects with the abort: nothing new.
    if (!stop.signal.aborted) throw error;
    return 0;
  } finally {
    progress.clear();
    // Where the first coldplug failed, the rest of the daemon runs still.
    stop.abort();
    await Promise.allSettled([udevd?.stopped]);
    await watch?.close();
    release();
    restore();
  }
}

async function watchOrWarn(system: System, command: UdevdCommand, onChange: (path: string) => void): Promise<ConfigWatch | undefined> {
  const directories = command.configPaths ?? configDirectories(system);
  try {
    return await watchConfig(system, { directories, indexDirectory: openTree(system).name, onChange });
  } catch (error) {
    system.log.warn({ code: 'watch-failed', message: `cannot watch the configuration: ${messageOf(error)}; send SIGHUP after a change` });
    return undefined;
  }
}

function runDetached(system: System, work: Promise<void>): void {
  work.catch((error: unknown) => system.log.error({ code: 'reload-failed', message: messageOf(error) }));
}

/** Neither the uevent socket nor a signal handler keeps a process alive. */
function keepAlive(): () => void {
  const timer = setInterval(() => undefined, 2 ** 30);
  return () => clearInterval(timer);
}

function progressText({ devices, modaliases, loaded }: ColdplugProgress): string {
  return `coldplug: ${devices} devices, ${modaliases} modaliases, ${loaded} modules loaded`;
}

/** The first line of the summary: what a service manager shows. */
function statusOf(summary: ColdplugSummary): string {
  return formatSummary(summary)[0] ?? '';
}

function eventObject({ event, modalias, result }: EventResult): object {
  return { event: { ...event, properties: Object.fromEntries(event.properties) }, modalias, result };
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
