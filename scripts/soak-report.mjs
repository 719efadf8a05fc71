// What the soak found: the rules by which it is judged, and docs/soak.md.

import { cpus } from 'node:os';

/**
 * @typedef {{ at: number, plugged: number, removed: number, rss: number, anonymous: number, peak: number, descriptors: number, threads: number, watches: number,
 *   data: number, tags: number, links: number, watch: number, open: Readonly<Record<string, number>>, seqnum: number, told: { kernel: number, udev: number }, modules: number, devices: number, status: any }} Sample
 *   `at` in minutes; memory in kB
 * @typedef {{ seed: number, minutes: number, counts: Readonly<Record<string, number>>, problems: readonly { at: number, text: string }[],
 *   samples: readonly Sample[], rests: readonly Sample[], log: readonly string[], first: any, last: Sample, kinds: readonly string[], versions: readonly string[] }} Report
 * @typedef {{ ok: boolean, lines: readonly { ok: boolean, text: string }[] }} Verdict
 */

/** What must be the same in every rest, where nothing is plugged in. */
const FLAT = /** @type {Readonly<Record<string, (sample: Sample) => number>>} */ ({
  'descriptors but those of module indexes': ({ descriptors, open }) => descriptors - indexesOf(open), threads: ({ threads }) => threads, 'inotify watches': ({ watches }) => watches,
  records: ({ data }) => data, tags: ({ tags }) => tags, links: ({ links }) => links, 'watched disks': ({ watch }) => watch / 2,
});
/** A reload closes them, and the first question opens each again: how many are open is chance. More than one of each kind are not. */
const INDEXES_MAX = 5;
/** Memory may differ by this share of what is resident: V8 compiles, collects and moves when it likes, and single samples lie 10 MB apart. */
const MEMORY_SHARE = 0.05;
/** Fewer samples say nothing about memory. */
const MEMORY_SAMPLES = 12;

/** @type {readonly (readonly [heading: string, width: number, of: (sample: Sample) => number | string])[]} */
const COLUMNS = [
  ['minute', 6, ({ at }) => at.toFixed(1)], ['plugged', 7, ({ plugged }) => plugged], ['devices', 7, ({ devices }) => devices], ['modules', 7, ({ modules }) => modules],
  ['RSS MB', 6, ({ rss }) => megabytes(rss)], ['own MB', 6, ({ anonymous }) => megabytes(anonymous)], ['fds', 4, ({ descriptors }) => descriptors],
  ['threads', 7, ({ threads }) => threads], ['watches', 7, ({ watches }) => watches], ['records', 7, ({ data }) => data], ['tags', 5, ({ tags }) => tags],
  ['links', 5, ({ links }) => links], ['disks', 5, ({ watch }) => watch / 2], ['events', 7, ({ status }) => status.events.done],
];

export const SAMPLE_HEADING = COLUMNS.map(([heading, width]) => heading.padStart(width)).join('  ');

/** One line of a terminal. @param {Sample} sample */
export function formatSample(sample) {
  return COLUMNS.map(([, width, of]) => String(of(sample)).padStart(width)).join('  ');
}

/** @param {Report} report @returns {Verdict} */
export function judge({ problems, samples, rests, first, last }) {
  const { events, resyncs } = last.status;
  const before = first.status.events;
  const sent = last.seqnum - first.seqnum;
  const received = events.received - before.received;
  const ended = events.done + events.failed + events.dropped;
  const lines = [
    { ok: problems.length === 0, text: problems.length === 0 ? 'nothing was lost and nothing was left behind' : `${problems.length} times something was lost or left behind` },
    { ok: received === sent, text: `events: the kernel sent ${sent}, the daemon received ${received}` },
    { ok: last.told.kernel === last.told.udev, text: `events: udevadm monitor heard ${last.told.kernel} of the kernel and ${last.told.udev} of the daemon` },
    { ok: ended === events.received + events.made && events.dropped === 0 && resyncs === 0, text: `events: ${events.received} received and ${events.made} made; ${events.done} done, ${events.failed} failed, ${events.dropped} dropped; ${resyncs} walks after a loss` },
    { ok: rests.every(({ open }) => indexesOf(open) <= INDEXES_MAX), text: `module indexes open at rest: ${rests.map(({ open }) => indexesOf(open)).join(' ')} (at most ${INDEXES_MAX})` },
    ...Object.entries(FLAT).map(([name, of]) => {
      const values = rests.map(of);
      const ok = values.every((value) => value === values[0]);
      return { ok, text: `${name} at rest: ${ok ? `${values[0]} every time` : values.join(' ')}` };
    }),
    ...memoryLines(samples, 'rss', 'resident memory'),
    ...memoryLines(samples, 'anonymous', 'memory of its own'),
  ];
  return { ok: lines.every(({ ok }) => ok), lines };
}

/** @param {Readonly<Record<string, number>>} open descriptors by what they are of */
function indexesOf(open) {
  return Object.entries(open).reduce((sum, [target, count]) => sum + (/\/modules\.[\w.]+\.bin$/.test(target) ? count : 0), 0);
}

/**
 * The last quarter beside the second, and the slope of the second half an hour long: the first quarter is when code gets compiled.
 * @param {readonly Sample[]} samples @param {'rss' | 'anonymous'} key @param {string} name
 */
function memoryLines(samples, key, name) {
  if (samples.length < MEMORY_SAMPLES) return [{ ok: true, text: `${name}: too few samples to judge` }];
  const quarter = Math.floor(samples.length / 4);
  const values = samples.map((sample) => sample[key]);
  const [early, late] = [median(values.slice(quarter, 2 * quarter)), median(values.slice(-quarter))];
  const hourly = slope(samples.slice(-2 * quarter).map((sample) => [sample.at, sample[key]])) * 60;
  const resident = median(samples.map(({ rss }) => rss));
  const [grown, share] = [(late - early) / resident, hourly / resident];
  return [{
    ok: grown <= MEMORY_SHARE && share <= MEMORY_SHARE,
    text: `${name}: ${megabytes(early)} MB in the second quarter, ${megabytes(late)} MB in the last (${percent(grown)} of what is resident); slope of the second half ${megabytes(hourly)} MB an hour (${percent(share)})`,
  }];
}

/** Theil and Sen's: the median of the slopes between all pairs. @param {readonly (readonly [number, number])[]} points */
function slope(points) {
  return median(points.flatMap(([x1, y1], index) => points.slice(index + 1).map(([x2, y2]) => (y2 - y1) / (x2 - x1))));
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] ?? NaN : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** @param {Report} report @param {Verdict} verdict */
export function soakDocument(report, verdict) {
  const { seed, minutes, counts, problems, samples, rests, log, last, versions } = report;
  const steps = Object.entries(counts).filter(([name]) => !/^(?:un)?plug /.test(name)).sort(([a], [b]) => a.localeCompare(b));
  const kinds = report.kinds.map((kind) => [kind, counts[`plug ${kind}`] ?? 0, counts[`unplug ${kind}`] ?? 0]);
  const sum = (/** @type {number} */ column) => kinds.reduce((total, row) => total + Number(row[column]), 0);
  return `# Soak: random hotplug

Written by \`npm run soak\`; changes belong in scripts/soak*.mjs. \`npm run soak -- --minutes ${minutes} --seed ${seed}\` makes the same choices again.

${minutes} minutes in a virtual machine with one processor, emulated: ${versions.join(', ')}, on ${cpus()[0]?.model.trim() ?? 'an unknown processor'}. tsudevd runs with the rules of Debian's udev.

A round is one to six steps chosen at random, without a pause: devices of ${report.kinds.length} kinds are plugged in and out by QMP (a USB or SCSI device also before it has been
looked at), modules that nothing uses are removed, rules are replaced (the daemon is told, or has to see for itself), devices are triggered, and disks are written to. Then the machine must
settle, and this must hold:

- Every device that is plugged in is in /sys with its drivers, and with its links in /dev/disk; every one that is not is gone.
- Every device of /sys has a record, which rules no older than they may be have written; no record, tag, link or watch is of a device that is gone.
- Every module that a modalias in /sys names is loaded, but for those that were removed since the last trigger of all devices.
- For every message of the kernel there is one of the daemon: Debian's udevadm monitor counts them. A disk that was written to had its change.

Every five minutes all is unplugged and all devices are triggered, which must bring all modules back: a rest. There descriptors (without those of module
indexes, which a reload closes and a question opens again), threads, inotify watches, records, tags and links must be exactly what they were in the first rest, which comes after each
kind was plugged in once. Memory is judged by the samples of each minute: from the second quarter to the last the median
may grow by ${percent(MEMORY_SHARE)} of what is resident, and so much an hour by the slope of the second half (Theil–Sen): single samples lie 10 MB apart.

## Verdict
${verdict.ok ? 'Nothing lost, no leak.' : '**Something leaked or was lost.**'}

${verdict.lines.map(({ ok, text }) => `- ${ok ? 'ok' : '**no**'}: ${text}`).join('\n')}
${problems.length === 0 ? '' : `\n${problems.slice(0, 50).map(({ at, text }) => `- minute ${at.toFixed(1)}: ${text}`).join('\n')}\n`}
From its arrival to its end an event took ${last.status.latencyMs?.p50.toFixed(0)} ms in the middle and ${last.status.latencyMs?.p99.toFixed(0)} ms at most in 99 of 100 cases, of the last 4096: most of them come at once, from a
trigger of all devices, and wait for each other on an emulated processor. The peak of resident memory was ${megabytes(last.peak)} MB.
The daemon logged ${log.length} lines of notice or worse${log.length === 0 ? '.' : ':'}
${log.length === 0 ? '' : `\n${table(['times', 'line'], byText(log).slice(0, 20).map(([text, times]) => [times, `\`${text.replaceAll('|', '/')}\``]))}\n`}
## Steps
${table(['device', 'plugged in', 'unplugged'], [...kinds, ['all', sum(1), sum(2)]])}

${table(['other steps', 'times'], steps)}

## Rests
${sampleTable(rests)}

## Samples
${sampleTable(samples)}

\`plugged\` are devices plugged in by the soak, \`devices\` all in /sys. \`RSS\` is resident memory, \`own\` the anonymous part of it. \`records\`, \`tags\` and \`links\` are entries in
/run/udev, without those of modules, drivers and buses. \`disks\` are block devices that are watched for writes; \`events\` have been done since the start.
`;
}

/** @param {readonly Sample[]} samples */
function sampleTable(samples) {
  return table(COLUMNS.map(([heading]) => heading), samples.map((sample) => COLUMNS.map(([, , of]) => of(sample))));
}

/** Of Markdown; all columns but text are to the right. @param {readonly string[]} headings @param {readonly (readonly (string | number)[])[]} rows */
function table(headings, rows) {
  const line = (/** @type {readonly (string | number)[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [line(headings), line(headings.map((_heading, index) => (Number.isNaN(Number(rows[0]?.[index])) ? '---' : '--:'))), ...rows.map(line)].join('\n');
}

/** Lines that differ in numbers only are one. @param {readonly string[]} log */
function byText(log) {
  const times = new Map();
  for (const line of log) {
    const text = line.replaceAll(/\d+/g, 'N');
    times.set(text, (times.get(text) ?? 0) + 1);
  }
  return [...times].sort(([, a], [, b]) => b - a);
}

/** @param {number} kB */
function megabytes(kB) {
  return (kB / 1024).toFixed(1);
}

/** @param {number} share */
function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}
