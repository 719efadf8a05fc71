// How `npm run soak` judges what it saw, and how it hands out places for devices. The guest itself is soaked by hand: an hour is too long here.

import { describe, expect, it } from 'vitest';

import { Bench, KINDS } from '../scripts/soak-devices.mjs';
import { formatSample, judge, SAMPLE_HEADING, soakDocument } from '../scripts/soak-report.mjs';
import { random } from './random.ts';

const EVENTS = { received: 1100, made: 50, done: 1150, failed: 0, dropped: 0, queued: 0, running: 0 };

function sampleAt(at: number, more: Readonly<Record<string, unknown>> = {}) {
  return {
    at, plugged: 5, removed: 0, rss: 80 * 1024, anonymous: 40 * 1024, peak: 99 * 1024, descriptors: 27, open: { 'socket:': 26, '/lib/modules/6.12/modules.dep.bin': 1 }, threads: 79, watches: 61, data: 429, tags: 4, links: 39, watch: 6,
    seqnum: 3000, told: { kernel: 900, udev: 900 }, modules: 75, devices: 429, status: { events: EVENTS, resyncs: 0, latencyMs: { p50: 3, p90: 9, p99: 40, max: 90 } }, ...more,
  };
}

function reportOf(more: Readonly<Record<string, unknown>> = {}) {
  return {
    seed: 7, minutes: 60, counts: { 'plug net': 3, check: 9 }, problems: [], samples: Array.from({ length: 60 }, (_, minute) => sampleAt(minute + 1)), rests: [sampleAt(0), sampleAt(5)],
    log: ['udevd: WARNING: disk 12 is gone', 'udevd: WARNING: disk 3 is gone'], first: { seqnum: 2000, status: { events: { received: 100 } } }, last: sampleAt(60), kinds: ['net'],
    versions: ['kernel 6.12'], ...more,
  };
}

const failed = (more: Readonly<Record<string, unknown>>) => judge(reportOf(more)).lines.filter(({ ok }) => !ok).map(({ text }) => text);

describe('the verdict of a soak', () => {
  it('is good where nothing grew and nothing was lost', () => {
    expect(judge(reportOf())).toMatchObject({ ok: true, lines: expect.arrayContaining([{ ok: true, text: 'events: the kernel sent 1000, the daemon received 1000' }]) });
  });

  it('names what was lost', () => {
    expect(failed({ problems: [{ at: 3, text: 'a record is of no device' }] })).toEqual(['1 times something was lost or left behind']);
    expect(failed({ last: sampleAt(60, { seqnum: 3001 }) })).toEqual(['events: the kernel sent 1001, the daemon received 1000']);
    expect(failed({ last: sampleAt(60, { told: { kernel: 900, udev: 899 } }) })).toEqual(['events: udevadm monitor heard 900 of the kernel and 899 of the daemon']);
    expect(failed({ last: sampleAt(60, { status: { events: { ...EVENTS, done: 1149 }, resyncs: 0 } }) })).toEqual(['events: 1100 received and 50 made; 1149 done, 0 failed, 0 dropped; 0 walks after a loss']);
  });

  it('names what grew', () => {
    expect(failed({ rests: [sampleAt(0), sampleAt(5, { watches: 62 }), sampleAt(10)] })).toEqual(['inotify watches at rest: 61 62 61']);
    expect(failed({ rests: [sampleAt(0), sampleAt(5, { descriptors: 28 })] })).toEqual(['descriptors but those of module indexes at rest: 26 27']);
    expect(failed({ rests: [sampleAt(0), sampleAt(5, { descriptors: 28, open: { 'socket:': 26, '/lib/modules/6.12/modules.dep.bin': 1, '/lib/modules/6.12/modules.alias.bin': 1 } })] })).toEqual([]);
    const growing = (kBperMinute: number) => reportOf().samples.map((sample, minute) => ({ ...sample, rss: sample.rss + minute * kBperMinute }));
    expect(failed({ samples: growing(50) })).toEqual([]);
    expect(failed({ samples: growing(100) })).toEqual(['resident memory: 82.1 MB in the second quarter, 85.1 MB in the last (3.5 % of what is resident); slope of the second half 5.9 MB an hour (7.1 %)']);
    // A step in the first quarter is no leak.
    expect(failed({ samples: reportOf().samples.map((sample, minute) => ({ ...sample, rss: sample.rss + (minute < 10 ? 0 : 20_000) })) })).toEqual([]);
  });

  it('is in the document, with all figures', () => {
    const report = reportOf();
    const text = soakDocument(report, judge(report));
    expect(text).toContain('Nothing lost, no leak.');
    expect(text.split('\n').filter((line) => line.startsWith('| '))).toHaveLength(3 + 4 + 3 + 4 + 62);
    expect(text).toContain('| net | 3 | 0 |\n| all | 3 | 0 |');
    expect(text).toContain('| 2 | `udevd: WARNING: disk N is gone` |');
    expect(soakDocument(reportOf({ problems: [{ at: 3, text: 'lost' }] }), judge(reportOf({ problems: [{ at: 3, text: 'lost' }] })))).toContain('- minute 3.0: lost');
  });

  it('has samples as wide as their heading', () => {
    expect(formatSample(sampleAt(12.34))).toHaveLength(SAMPLE_HEADING.length);
  });
});

describe('places for devices', () => {
  it('are never given twice, nor a backend, and come back when they are released', () => {
    const bench = new Bench();
    const number = random(5);
    for (let step = 0; step < 500; step++) {
      const possible = bench.possible();
      const kind = possible[number(possible.length)];
      if (kind !== undefined && number(3) > 0) bench.take(kind, number);
      else bench.remove([...bench.plugged.keys()][number(bench.plugged.size)] ?? '');
      if (number(5) === 0) bench.release();
      const taken = [...bench.vacated, ...[...bench.plugged.values()].flatMap(({ resources }) => resources)].map(([pool, index]: readonly [string, number]) => `${pool} ${index}`);
      expect(new Set(taken).size).toBe(taken.length);
    }
    for (const id of bench.plugged.keys()) bench.remove(id);
    bench.release();
    expect(bench.possible()).toEqual(Object.keys(KINDS));
  });

  it('carry what QEMU is told, and what is expected of them', () => {
    const bench = new Bench();
    expect(bench.take('nvme', () => 0)).toEqual({ driver: 'nvme', bus: 'port0', drive: 'drive0', serial: 'soak1', id: 'soak1' });
    expect(bench.plugged.get('soak1')).toMatchObject({ place: { pci: '0000:00:10.0' }, drivers: ['nvme'], links: ['/dev/disk/by-id/soak1', '/dev/disk/by-label/LABEL0'] });
  });
});
