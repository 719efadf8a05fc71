// tsudevd at work: puts the daemon together as its options ask, tells its starter, reloads, and ends it.

import { join, resolve } from 'node:path';

import { messageOf } from '../errors.ts';
import { configDirectories } from '../kmod/config-files.ts';
import type { Kmod } from '../kmod/kmod.ts';
import { hasIndexes } from '../kmod/module-source.ts';
import type { ReopenedSource } from '../kmod/reopened-source.ts';
import type { LogLevel, System } from '../system.ts';
import { makeDirectory } from '../udev/atomic-file.ts';
import type { ColdplugProgress, ColdplugSummary } from '../udev/coldplug.ts';
import { openDecisionJournal } from '../udev/decisions.ts';
import { openEventLog } from '../udev/event-log.ts';
import { parseGoal } from '../udev/goal.ts';
import type { Goal } from '../udev/goal.ts';
import { openJournal } from '../udev/journal.ts';
import { postponeOptimising } from '../udev/late-optimiser.ts';
import { moduleLoader } from '../udev/load.ts';
import { openMetrics } from '../udev/metrics.ts';
import { openModuleRequests } from '../udev/module-requests.ts';
import type { ModuleRequest, ModuleRequests } from '../udev/module-requests.ts';
import { openNotifier } from '../udev/notify.ts';
import { rulesDirectories } from '../udev/rules/rule-files.ts';
import { openRuleStore } from '../udev/rule-store.ts';
import { dropCapabilities, settleOwnProcess } from '../udev/own-process.ts';
import { openServices } from '../udev/services.ts';
import type { Services } from '../udev/services.ts';
import { formatSummary } from '../udev/summary.ts';
import { startUdevd } from '../udev/udevd.ts';
import type { Udevd, Walk } from '../udev/udevd.ts';
import { openWalkAccount } from '../udev/walk-account.ts';
import type { WalkAccount } from '../udev/walk-account.ts';
import { watchConfig } from '../udev/watch.ts';
import type { ConfigWatch } from '../udev/watch.ts';
import type { AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import type { Progress } from './progress.ts';
import { signalListening } from './udevd-background.ts';
import type { UdevdCommand } from './udevd-options.ts';

export type UdevdKmod = Pick<Kmod, 'plan' | 'execute' | 'reload' | 'close'>;

export type UdevdRun = {
  readonly command: UdevdCommand;
  readonly context: AppletContext;
  readonly system: System;
  readonly source: ReopenedSource;
  readonly kmod: UdevdKmod;
  readonly progress: Progress;
  /** For `control --log-level`. */
  readonly setLogLevel: (level: LogLevel) => void;
};

/** Stays until a signal or `control --exit`. Resolves with the exit code. */
export async function stay(run: UdevdRun): Promise<number> {
  const { command, context, system, progress } = run;
  const stop = new AbortController();
  const notifier = openNotifier(system, { socket: context.env['NOTIFY_SOCKET'], readyFd: command.readyFd });
  let status = 'ready';
  let isReady = false;
  const end = (): void => {
    stop.abort();
    runDetached(system, notifier.stopping());
  };
  const parts = await assemble(run, {
    signal: stop.signal,
    onExit: end,
    onReload: () => runDetached(system, reload('control')),
    onRequest: (request) => {
      if (!isReady) progress.show(progressText(parts.account.progress(0)));
      else if (command.json) context.stdout(jsonLine(requestObject(request)));
    },
    onWalk: (walk) => {
      progress.clear();
      const summary = parts.account.summary({ ...walk, settled: true });
      status = statusOf(summary);
      system.log.notice({ code: 'coldplug', message: status });
      if (command.json) context.stdout(jsonLine(summary));
    },
  });
  const reload = async (why: string): Promise<void> => {
    if (isReady) await notifier.reloading();
    await parts.reload();
    system.log.notice({ code: 'reloaded', message: `configuration and indexes will be read again (${why})` });
    if (isReady) await notifier.ready(status);
  };
  const restore = context.signals({ SIGTERM: end, SIGINT: end, SIGHUP: () => runDetached(system, reload('SIGHUP')) });
  const release = keepAlive();
  let watch: ConfigWatch | undefined;
  let udevd: Udevd | undefined;
  try {
    udevd = await parts.start();
    await parts.services?.serve(udevd);
    signalListening(command.listeningFd);
    // Whatever fails first ends the daemon.
    await Promise.race([udevd.ready, udevd.stopped]);
    if (!stop.signal.aborted) {
      isReady = true;
      await notifier.ready(status);
      watch = await watchOrWarn(run, (path) => runDetached(system, reload(`${path} changed`)));
    }
    await udevd.stopped;
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
    parts.flush();
    await watch?.close();
    await parts.services?.close();
    release();
    restore();
  }
}

/** Works off the devices that are there, prints a summary, and ends: when all is settled, or when the goal of `--until` is there. */
export async function workOnce(run: UdevdRun): Promise<number> {
  const { command, context, system, kmod, progress } = run;
  const start = system.clock.now();
  const stop = new AbortController();
  const goal = command.until === undefined ? undefined : parseGoal(system, kmod, command.until);
  const restore = context.signals({ SIGTERM: () => stop.abort(), SIGINT: () => stop.abort() });
  const release = keepAlive();
  const reached = new AbortController();
  const parts = await assemble(run, {
    signal: AbortSignal.any([stop.signal, reached.signal]),
    ...(goal ? { goal } : {}),
    onRequest: () => progress.show(progressText(parts.account.progress(0))),
    onEvent: () => {
      if (goal?.isReached()) reached.abort();
    },
  });
  let udevd: Udevd | undefined;
  try {
    if (!goal?.isReached()) {
      udevd = await parts.start();
      await untilDone(udevd, goal ? Math.max(command.untilMs, command.settleMs) : command.settleMs);
    }
  } catch (error) {
    if (!stop.signal.aborted && !reached.signal.aborted) throw error;
  } finally {
    progress.clear();
    release();
    restore();
    if (!stop.signal.aborted) reached.abort();
    await Promise.allSettled([udevd?.stopped]);
    parts.flush();
    await parts.services?.close();
  }
  if (stop.signal.aborted) {
    system.log.error({ code: 'interrupted', message: 'interrupted before the coldplug had settled' });
    return 1;
  }
  const isReached = goal?.isReached() ?? true;
  const summary = parts.account.summary({ devices: udevd?.devices ?? 0, ms: system.clock.now() - start, settled: isReached });
  context.stdout(command.json ? jsonLine({ ...summary, ...(goal ? { goal: goal.text } : {}) }) : textOf(formatSummary(summary)));
  if (!isReached) system.log.error({ code: 'goal-missing', message: `${command.until} has not come: nothing is left to do` });
  else if (command.readyFd !== undefined) await openNotifier(system, { readyFd: command.readyFd }).ready(statusOf(summary));
  return isReached ? 0 : 1;
}

/** Without a goal's end by its signal, when all is settled. */
async function untilDone(udevd: Udevd, settleMs: number): Promise<void> {
  await Promise.race([udevd.ready.then(() => udevd.quiet(settleMs)), udevd.stopped]);
}

type Parts = {
  readonly account: WalkAccount;
  readonly services: Services | undefined;
  start(): Promise<Udevd>;
  reload(): Promise<void>;
  /** Writes what the journal of decisions has still to write. */
  flush(): void;
};

type PartOptions = {
  readonly signal: AbortSignal;
  readonly goal?: Goal;
  readonly onRequest: (request: ModuleRequest) => void;
  readonly onEvent?: () => void;
  readonly onWalk?: (walk: Walk) => void;
  readonly onReload?: () => void;
  readonly onExit?: () => void;
};

async function assemble({ command, system, source, kmod, setLogLevel }: UdevdRun, options: PartOptions): Promise<Parts> {
  const { signal, goal, onRequest, onEvent, onWalk, onReload = () => undefined, onExit = () => undefined } = options;
  const account = openWalkAccount();
  const metrics = openMetrics();
  const decisions = openDecisionJournal(system);
  const events = openEventLog(system);
  const requests: ModuleRequests = openModuleRequests(system, kmod, (request) => {
    account.add(request);
    decisions.note(request.decision);
    metrics.loads(request.result);
    onRequest(request);
  });
  const defaultDirectory = defaultRulesDirectory();
  const rules = command.noRules ? undefined : await openRuleStore(system, {
    ...(defaultDirectory === undefined ? {} : { defaultDirectory }),
    ...(command.resolveNames === undefined ? {} : { resolveNames: command.resolveNames }),
  });
  const own = await settleOwnProcess(system);
  const services = rules && await openServices(system, {
    requests, metrics, rules, modules: source, onReload, onExit, onLogLevel: setLogLevel, onProgram: own.adopt,
    ...(command.eventTimeoutMs === undefined ? {} : { programTimeoutMs: command.eventTimeoutMs }),
  });
  if (!command.keepCapabilities) await dropCapabilities(system);
  return {
    account,
    services,
    flush() {
      decisions.flush();
      events.flush();
    },
    async start() {
      // Not before: V8 takes no code from the cache that was made under other flags.
      const countEvent = postponeOptimising();
      const udevd = await startUdevd(system, {
        handle: services?.handle ?? moduleLoader(requests), requests, metrics, journal: openJournal(system), signal,
        skipColdplug: command.skipColdplug, withSubsystems: rules !== undefined,
        onTiming: (timing) => events.note(timing),
        onEvent: () => {
          countEvent();
          onEvent?.();
        },
        ...(goal ? { goal } : {}), ...(onWalk ? { onWalk } : {}), ...(services ? { onBusy: services.onBusy } : {}),
      });
      if (command.childrenMax !== undefined) udevd.queue.parallel = command.childrenMax;
      return udevd;
    },
    async reload() {
      try {
        await source.reopen();
      } catch (error) {
        system.log.error({ code: 'modules-not-reopened', message: `${messageOf(error)}; the modules of before stay in use` });
      }
      requests.reload();
      await rules?.reload();
    },
  };
}

async function watchOrWarn({ system, source, command }: UdevdRun, onChange: (path: string) => void): Promise<ConfigWatch | undefined> {
  const configuration = [...command.configPaths ?? configDirectories(system), ...(command.noRules ? [] : rulesDirectories(system))];
  const layers = source.layers ?? [source];
  const trees = layers.filter(({ kind }) => kind === 'tree');
  // A directory of modules alone is small, and there is no index whose change would tell.
  const loose = source.layers ? trees.filter((tree) => !hasIndexes(tree)).map(({ name }) => resolve(name)) : [];
  try {
    // Where a directory is not there yet, the one above it is watched: /run/udev, which the daemon itself writes to with every event.
    if (!command.noRules) makeDirectory(join(system.roots.run, 'udev/rules.d'));
    return await watchConfig(system, {
      directories: [...configuration, ...loose],
      indexDirectories: trees.map(({ name }) => resolve(name)).filter((name) => !loose.includes(name)),
      files: layers.flatMap(({ file }) => (file === undefined ? [] : resolve(file))),
      onChange,
    });
  } catch (error) {
    system.log.warn({ code: 'watch-failed', message: `cannot watch the configuration: ${messageOf(error)}; send SIGHUP after a change` });
    return undefined;
  }
}

function runDetached(system: System, work: Promise<void>): void {
  work.catch((error: unknown) => system.log.error({ code: 'reload-failed', message: messageOf(error) }));
}

/** Neither the uevent socket nor a signal handler keeps a process alive. */
export function keepAlive(): () => void {
  const timer = setInterval(() => undefined, 2 ** 30);
  return () => clearInterval(timer);
}

export function progressText({ devices, modaliases, loaded }: ColdplugProgress): string {
  return `coldplug: ${devices === 0 ? '' : `${devices} devices, `}${modaliases} modaliases, ${loaded} modules loaded`;
}

/** The first line of the summary: what a service manager shows. */
export function statusOf(summary: ColdplugSummary): string {
  return formatSummary(summary)[0] ?? '';
}

export function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function requestObject({ name, devpath, result }: ModuleRequest): object {
  return { devpath, modalias: name, result };
}
