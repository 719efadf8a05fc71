// What the daemon counts.

import { describe, expect, it } from 'vitest';

import { openMetrics } from '../../src/udev/metrics.ts';

const NOW = { queued: 3, running: 2, loading: 1, uptimeMs: 1000 };

describe('openMetrics', () => {
  it('starts with nothing, and without latencies', () => {
    const { residentMemory, ...report } = openMetrics().report(NOW);
    expect(report).toEqual({
      events: { received: 0, made: 0, done: 0, failed: 0, dropped: 0, queued: 3, running: 2 }, resyncs: 0,
      modules: { loaded: 0, failed: 0, loading: 1 }, programs: { run: 0, failed: 0, timedOut: 0 }, uptimeMs: 1000,
    });
    expect(residentMemory).toBeGreaterThan(1 << 20);
  });

  it('counts, and gives the percentiles of the newest latencies', () => {
    const metrics = openMetrics();
    metrics.count('received', 5);
    metrics.count('received');
    metrics.count('loadFailed');
    for (let ms = 1; ms <= 100; ms++) metrics.latency(ms);
    const report = metrics.report(NOW);
    expect({ events: report.events.received, failed: report.modules.failed, latencyMs: report.latencyMs })
      .toEqual({ events: 6, failed: 1, latencyMs: { p50: 50, p90: 90, p99: 99, max: 100 } });
    for (let i = 0; i < 4096; i++) metrics.latency(7);
    expect(metrics.report(NOW).latencyMs).toEqual({ p50: 7, p90: 7, p99: 7, max: 7 });
  });
});
