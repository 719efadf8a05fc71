// Real uevents and a receive buffer that is too small: what the kernel dropped is found in /sys again.

import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { codeOf } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import { openJournal } from '../../src/udev/journal.ts';
import { openMetrics } from '../../src/udev/metrics.ts';
import { openModuleRequests } from '../../src/udev/module-requests.ts';
import { scanDevices } from '../../src/udev/scan.ts';
import { startUdevd } from '../../src/udev/udevd.ts';
import { recordingLog } from '../fixture-root.ts';
import { fakeKmod, makeRoot } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

const UEVENT = '/sys/devices/virtual/mem/null/uevent';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

/** Only root may make the kernel speak, and only where /sys is writable. */
function whyNot(): string | undefined {
  try {
    accessSync(UEVENT, constants.W_OK);
    readFileSync('/sys/kernel/uevent_seqnum');
    return undefined;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return `no ${UEVENT} to write to`;
  }
}

const reason = whyNot();

describe.skipIf(reason !== undefined)(`startUdevd on this kernel${reason === undefined ? '' : ` (${reason})`}`, () => {
  /** The real /sys and kernel; what the daemon leaves is below the root of the test, and its handler does nothing. */
  function start(receiveBuffer?: number) {
    const log = recordingLog();
    const lines = log.records;
    const system = openSystem({ roots: { run: `${root.path}/run`, dev: `${root.path}/dev` }, log });
    const stop = new AbortController();
    const seen: string[] = [];
    let walked = (): void => undefined;
    const walk = new Promise<void>((resolve) => {
      walked = resolve;
    });
    const journal = openJournal(system);
    const udevd = startUdevd(system, {
      handle: async ({ properties }) => void seen.push(`${properties.get('SYNTH_UUID')} ${properties.get('SYNTH_ARG_N')}`),
      requests: openModuleRequests(system, fakeKmod({})), journal, metrics: openMetrics(), signal: stop.signal, skipColdplug: true, onWalk: () => walked(),
      ...(receiveBuffer === undefined ? {} : { receiveBuffer }),
    });
    return { system, lines, seen, journal, udevd, walk, stop };
  }

  it('walks /sys after an overflow, says so, and knows all devices then', async () => {
    const daemon = start(1);
    const udevd = await daemon.udevd;
    // The event loop stands still meanwhile: nobody reads.
    for (let i = 0; i < 500; i++) writeFileSync(UEVENT, 'change');
    await daemon.walk;
    expect(daemon.lines.filter(({ code }) => code === 'uevents-lost').map(({ message }) => message)).toContain('uevents lost (receive buffer full): walking /sys again');
    const known = [...daemon.journal.devices.keys()];
    const there = (await scanDevices(daemon.system)).map(({ devpath }) => devpath);
    expect(known.toSorted()).toEqual(there.toSorted());
    daemon.stop.abort();
    await udevd.stopped;
  });

  it('misses none of 20 000 events with the buffer that it asks for itself', async () => {
    const daemon = start();
    const udevd = await daemon.udevd;
    const uuid = randomUUID();
    for (let i = 0; i < 20_000; i++) writeFileSync(UEVENT, `change ${uuid} N=${i}`);
    udevd.receive();
    await udevd.queue.idle();
    expect(daemon.seen.filter((each) => each.startsWith(uuid))).toEqual(Array.from({ length: 20_000 }, (_, i) => `${uuid} ${i}`));
    expect(daemon.lines.filter(({ code }) => code === 'uevents-lost')).toEqual([]);
    daemon.stop.abort();
    await udevd.stopped;
  }, 30_000);
});
