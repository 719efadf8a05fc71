// All that surrounds the queue of a full daemon: rules, database, watches, the control socket, static nodes, and what others may ask.

import { messageOf } from '../errors.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import type { LogLevel, System } from '../system.ts';
import { openBuiltins } from './builtin/table.ts';
import type { ControlMessage } from './control-message.ts';
import { openControlServer } from './control-socket.ts';
import { recordOf } from './database.ts';
import { deviceById } from './device-lookup.ts';
import { openDeviceWatch } from './device-watch.ts';
import { processEvent } from './event.ts';
import type { EventMachine } from './event.ts';
import { openIdleMemory } from './idle-memory.ts';
import { moduleLoader } from './load.ts';
import { openModprobeServer } from './modprobe-socket.ts';
import type { Metrics } from './metrics.ts';
import type { ModuleRequests } from './module-requests.ts';
import type { EventHandler } from './queue.ts';
import { setQueueFile } from './queue-file.ts';
import type { RuleStore } from './rule-store.ts';
import { staticNodeWishes } from './rules/static-node-rules.ts';
import { systemRulesHost } from './rules/system-host.ts';
import { applyStaticNodeRules, createStaticNodes } from './static-nodes.ts';
import { openStatusServer, STATUS_SCHEMA } from './status-socket.ts';
import type { DaemonStatus } from './status-socket.ts';
import type { Udevd } from './udevd.ts';
import { openUnstored } from './unstored.ts';

export type ServicesOptions = {
  readonly requests: ModuleRequests;
  readonly metrics: Metrics;
  readonly rules: RuleStore;
  /** `control --reload`. */
  readonly onReload: () => void;
  /** `control --exit`. */
  readonly onExit: () => void;
  /** `control --log-level`. */
  readonly onLogLevel?: (level: LogLevel) => void;
  /** How long a program may run, in milliseconds. */
  readonly programTimeoutMs?: number;
  /** Where modules.devname is; the tree of the release when absent. */
  readonly modules?: ModuleSource;
  /** A program of a rule has started. */
  readonly onProgram?: (pid: number) => void;
};

export interface Services {
  /** For `startUdevd`. */
  readonly handle: EventHandler;
  onBusy(busy: boolean): void;
  /** Opens the sockets by which others reach the daemon. */
  serve(udevd: Udevd): Promise<void>;
  /** Kills the programs that still run, and closes everything. */
  close(): Promise<void>;
}

/** Makes the static nodes and restores the watches of the last daemon. Throws SystemError where there is no inotify. */
export async function openServices(system: System, options: ServicesOptions): Promise<Services> {
  const { requests, metrics, rules, programTimeoutMs, onProgram } = options;
  const started = system.clock.now();
  const ending = new AbortController();
  const globals = new Map<string, string>();
  const builtins = openBuiltins(system, requests);
  const host = systemRulesHost(system, {
    globals,
    signal: ending.signal,
    builtin: builtins,
    record: (device) => recordOf(system, device),
    ...(programTimeoutMs === undefined ? {} : { timeoutMs: programTimeoutMs }),
    ...(onProgram ? { onProgram } : {}),
  });
  // Now, and kept: who has dropped his capabilities may not look at process 1.
  host.constant('virt');
  await createStaticNodes(system, options.modules);
  applyStaticNodeRules(system, staticNodeWishes(rules.rules));
  const watch = await openDeviceWatch(system, { deviceOf: (id) => deviceById(system, id) });
  const memory = openIdleMemory(system);
  const unstored = openUnstored(system);
  const closing: (() => Promise<void>)[] = [() => watch.close(), async () => memory.close(), async () => unstored.close()];

  const loadModule = moduleLoader(requests);

  return {
    handle: async (event, report) => {
      const machine: EventMachine = { system, rules: rules.rules, host, watch, report, signal: ending.signal };
      const { result, failures, id, unstored: left } = await processEvent(machine, event);
      // Without any rules nobody would ask for modules.
      if (rules.rules.files.length === 0) await loadModule(event, report);
      if (id !== undefined) unstored.forget(id);
      if (left) unstored.add(left);
      metrics.count('programs', result.run.filter(({ type }) => type === 'program').length);
      metrics.count('programsFailed', failures.length);
      metrics.count('programsTimedOut', failures.filter(({ reason }) => reason.startsWith('timed out')).length);
    },
    onBusy: (busy) => {
      setQueueFile(system, busy);
      memory.onBusy(busy);
    },
    async serve(udevd) {
      const control = await openControlServer(system, {
        onMessage: (message) => obey(message, udevd, globals, options),
        onError: (error) => system.log.error({ code: 'control-failed', message: messageOf(error) }),
      });
      closing.push(() => control.close());
      const status = await openStatusServer(system, () => statusOf(system, udevd, requests, metrics, started));
      closing.push(() => status.close());
      const modprobe = await openModprobeServer(system, requests);
      closing.push(() => modprobe.close());
    },
    async close() {
      ending.abort();
      setQueueFile(system, false);
      for (const close of closing.toReversed()) await close();
    },
  };
}

function obey(
  message: Exclude<ControlMessage, { type: 'end' }>, udevd: Udevd, globals: Map<string, string>, { onReload, onExit, onLogLevel }: ServicesOptions,
): void {
  switch (message.type) {
    case 'ping':
      // Who asks whether all is done means what the kernel sent before, too.
      udevd.receive();
      return;
    case 'stop-queue':
      udevd.queue.pause();
      return;
    case 'start-queue':
      udevd.queue.resume();
      return;
    case 'reload':
      onReload();
      return;
    case 'exit':
      onExit();
      return;
    case 'children-max':
      udevd.queue.parallel = Math.max(1, message.value);
      return;
    case 'log-level':
      onLogLevel?.(levelOf(message.value));
      return;
    case 'env': {
      const equals = message.value.indexOf('=');
      const key = message.value.slice(0, equals);
      const value = message.value.slice(equals + 1);
      if (equals <= 0) return;
      if (value === '') globals.delete(key);
      else globals.set(key, value);
    }
  }
}

/** The priorities of syslog(3). */
function levelOf(priority: number): LogLevel {
  return priority <= 3 ? 'error' : priority === 4 ? 'warn' : priority === 5 ? 'notice' : priority === 6 ? 'info' : 'debug';
}

function statusOf(system: System, { queue }: Udevd, requests: ModuleRequests, metrics: Metrics, started: number): DaemonStatus {
  const now = system.clock.now();
  const pending = queue.pending();
  const running = pending.filter(({ state }) => state === 'running').length;
  const loading = requests.loading();
  return {
    schema: STATUS_SCHEMA,
    pid: process.pid,
    ...metrics.report({ queued: pending.length - running, running, loading: loading.length, uptimeMs: now - started }),
    pending: pending.map(({ event: { action, devpath, seqnum }, state, since, activity, waitsFor }) => ({
      action, devpath, seqnum, state, ms: Math.round(now - since),
      ...(activity ? { activity } : {}), ...(waitsFor ? { waitsFor: waitsFor.devpath } : {}),
    })),
    loading,
  };
}
