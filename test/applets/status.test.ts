import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { statusApplet } from '../../src/applets/status.ts';
import { openSystem } from '../../src/system.ts';
import { openStatusServer } from '../../src/udev/status-socket.ts';
import type { DaemonStatus } from '../../src/udev/status-socket.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

const STATUS: DaemonStatus = {
  schema: 1, pid: 42,
  events: { received: 1200, made: 389, done: 1580, failed: 2, dropped: 0, queued: 6, running: 1 },
  resyncs: 1, modules: { loaded: 19, failed: 1, loading: 1 }, programs: { run: 7, failed: 1, timedOut: 0 },
  latencyMs: { p50: 1.25, p90: 4, p99: 20.06, max: 900 }, residentMemory: 80 * 2 ** 20, uptimeMs: 93_784_000,
  pending: [
    { action: 'add', devpath: '/devices/a/b', seqnum: 8, state: 'waiting', ms: 1500, waitsFor: '/devices/a' },
    { action: 'add', devpath: '/devices/a', seqnum: 7, state: 'running', ms: 2000, activity: { what: 'module', name: 'pci:v1' } },
  ],
  loading: ['pci:v1'],
};

describe('tskmod status', () => {
  it('says with exit code 1 that no daemon runs', async () => {
    const root = fixtureRoot({});
    expect(await runApplet(statusApplet, [], { root })).toEqual({
      status: 1, stdout: '', stderr: `status: tsudevd is not running (nobody listens at ${join(root, 'run/udev/tsudevd.status')})\n`,
    });
  });

  it('shows the counts in aligned columns, and what is pending, running events first', async () => {
    const root = fixtureRoot({});
    const server = await openStatusServer(openSystem({ root }), () => STATUS);
    const { status, stdout } = await runApplet(statusApplet, [], { root });
    expect(status).toBe(0);
    expect(stdout).toBe(`tsudevd   process 42, up 1 d 2 h, 80.0 MiB resident
events    received 1200  made 389  done 1580  failed 2  dropped 0  queued 6  running 1
resyncs   1
modules   loaded 19  failed 1  loading 1
programs  run 7  failed 1  timed out 0
latency   p50 1.3 ms  p90 4.0 ms  p99 20.1 ms  max 900.0 ms
loading   pci:v1

pending
  add /devices/a: loading pci:v1 for 2.0 s
  add /devices/a/b: waiting for 1.5 s behind /devices/a
  and 5 more
`);
    const { stdout: json } = await runApplet(statusApplet, ['--json'], { root });
    expect(JSON.parse(json)).toEqual(STATUS);
    await server.close();
  });
});
