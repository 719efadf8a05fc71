// What the daemon counts, and how long events took: the numbers of `tskmod status`.

import type { ProbeResult } from '../kmod/probe.ts';
import { isHardwareAbsent } from './outcome.ts';

/** The latencies that percentiles are made of: the newest ones. */
const LATENCIES_MAX = 4096;

export type Percentiles = { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };

export type MetricsReport = {
  /** Since the start of the daemon. `received` counts the kernel's messages, `made` the events of walks. */
  readonly events: {
    readonly received: number; readonly made: number; readonly done: number; readonly failed: number; readonly dropped: number;
    readonly queued: number; readonly running: number;
  };
  /** Walks of /sys because of a loss. */
  readonly resyncs: number;
  readonly modules: { readonly loaded: number; readonly failed: number; readonly loading: number };
  readonly programs: { readonly run: number; readonly failed: number; readonly timedOut: number };
  /** From the arrival of an event to its end, in milliseconds, of the newest LATENCIES_MAX. Absent before the first. */
  readonly latencyMs?: Percentiles;
  /** In bytes. */
  readonly residentMemory: number;
  readonly uptimeMs: number;
};

type Counter = 'received' | 'made' | 'done' | 'failed' | 'dropped' | 'resyncs' | 'loaded' | 'loadFailed' | 'programs' | 'programsFailed' | 'programsTimedOut';

export interface Metrics {
  count(counter: Counter, by?: number): void;
  latency(ms: number): void;
  /** What came of one request for modules. */
  loads(result: ProbeResult): void;
  report(now: { readonly queued: number; readonly running: number; readonly loading: number; readonly uptimeMs: number }): MetricsReport;
}

export function openMetrics(): Metrics {
  const counts = new Map<Counter, number>();
  const latencies = new Float64Array(LATENCIES_MAX);
  let measured = 0;
  const of = (counter: Counter): number => counts.get(counter) ?? 0;
  return {
    count: (counter, by = 1) => {
      counts.set(counter, of(counter) + by);
    },
    latency: (ms) => {
      latencies[measured++ % LATENCIES_MAX] = ms;
    },
    loads(result) {
      for (const { steps } of result.goals) {
        for (const { outcome, failure } of steps) {
          if (outcome === 'inserted') this.count('loaded');
          else if (outcome === 'failed' && failure && !isHardwareAbsent(failure)) this.count('loadFailed');
        }
      }
    },
    report: ({ queued, running, loading, uptimeMs }) => ({
      events: {
        received: of('received'), made: of('made'), done: of('done'), failed: of('failed'), dropped: of('dropped'), queued, running,
      },
      resyncs: of('resyncs'),
      modules: { loaded: of('loaded'), failed: of('loadFailed'), loading },
      programs: { run: of('programs'), failed: of('programsFailed'), timedOut: of('programsTimedOut') },
      ...(measured === 0 ? {} : { latencyMs: percentiles(latencies.slice(0, Math.min(measured, LATENCIES_MAX))) }),
      residentMemory: process.memoryUsage.rss(),
      uptimeMs,
    }),
  };
}

/** Nearest rank. */
function percentiles(values: Float64Array): Percentiles {
  values.sort();
  const at = (share: number): number => values[Math.max(0, Math.ceil(values.length * share) - 1)] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
