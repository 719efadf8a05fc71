// What a kernel may do to a stream of events, and what a machine may do to itself: faults from a seed, and the stream with them.

import type { RecordedEvent } from './recording.ts';

/**
 * `swap`: an event arrives after the next one, of an unrelated device. `drop`: some are lost, and the socket says so (ENOBUFS). `late`: the
 * device is in sysfs only after its event. `unplug`: a device that was added goes after event `at`. `fail` and `stall`: of a module's init.
 * `hide` is no fault that a kernel has, and no seed chooses it: an event that nobody tells of.
 */
export type Fault =
  | { readonly kind: 'swap' | 'late' | 'hide'; readonly at: number }
  | { readonly kind: 'drop'; readonly at: number; readonly count: number }
  | { readonly kind: 'unplug'; readonly at: number; readonly devpath: string }
  | { readonly kind: 'fail' | 'stall'; readonly module: string };

export type Delivery = {
  readonly ms: number;
  readonly properties: ReadonlyMap<string, string>;
  readonly isLost: boolean;
  readonly isHidden: boolean;
  readonly isLate: boolean;
};

/** Faults of one run. */
const FAULTS_MAX = 8;
const DROPPED_MAX = 5;

/** The same seed gives the same faults of the same stream. `modules` are those that may fail. */
export function faultsOf(seed: number, events: readonly RecordedEvent[], modules: readonly string[]): readonly Fault[] {
  const random = generator(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const added = events.flatMap(({ properties }, at) => (properties.get('ACTION') === 'add' ? [{ at, devpath: devpathOf(properties) }] : []));
  const make: readonly (() => Fault | undefined)[] = [
    () => (events.length > 1 ? { kind: 'swap', at: below(events.length - 1) } : undefined),
    () => (events.length > 0 ? { kind: 'drop', at: below(events.length), count: 1 + below(DROPPED_MAX) } : undefined),
    () => {
      const event = added[below(added.length)];
      return event && { kind: 'late', at: event.at };
    },
    () => {
      const event = added[below(added.length)];
      return event && { kind: 'unplug', at: event.at + below(events.length - event.at), devpath: event.devpath };
    },
    () => moduleFault('fail', modules[below(modules.length)]),
    () => moduleFault('stall', modules[below(modules.length)]),
  ];
  return Array.from({ length: 1 + below(FAULTS_MAX) }, () => make[below(make.length)]?.()).filter((fault) => fault !== undefined);
}

function moduleFault(kind: 'fail' | 'stall', module: string | undefined): Fault | undefined {
  return module === undefined ? undefined : { kind, module };
}

/** The stream as it arrives, numbered as the kernel sent it from `seqnum` on. Faults that do not fit, as after others were taken away, do nothing. */
export function withFaults(events: readonly RecordedEvent[], faults: readonly Fault[], seqnum: number): readonly Delivery[] {
  const gone = new Set<string>();
  const there = new Set<string>();
  const stream: { event: RecordedEvent; index: number | undefined }[] = [];
  events.forEach((event, index) => {
    const devpath = devpathOf(event.properties);
    const isAdded = event.properties.get('ACTION') === 'add';
    if (isAdded) gone.delete(devpath);
    if (![...gone].some((each) => isBelow(devpath, each))) {
      stream.push({ event, index });
      if (isAdded) there.add(devpath);
      else if (event.properties.get('ACTION') === 'remove') there.delete(devpath);
    }
    for (const fault of faults) {
      if (fault.kind !== 'unplug' || fault.at !== index || !there.has(fault.devpath)) continue;
      gone.add(fault.devpath);
      // Children first, as the kernel does it.
      for (const child of [...there].filter((each) => isBelow(each, fault.devpath)).sort((a, b) => b.length - a.length)) {
        there.delete(child);
        const known = events.findLast(({ properties }, at) => at <= index && devpathOf(properties) === child && properties.get('ACTION') === 'add');
        if (known) stream.push({ event: { ms: event.ms, properties: new Map([...known.properties, ['ACTION', 'remove']]) }, index: undefined });
      }
    }
  });
  const lost = new Set(faults.flatMap((fault) => (fault.kind === 'drop' ? Array.from({ length: fault.count }, (_, i) => fault.at + i) : [])));
  const atOf = (kind: 'late' | 'hide') => new Set(faults.flatMap((fault) => (fault.kind === kind ? [fault.at] : [])));
  const [late, hidden] = [atOf('late'), atOf('hide')];
  const deliveries = stream.map(({ event: { ms, properties }, index }, position): Delivery & { readonly index: number | undefined } => ({
    ms, index, properties: new Map([...properties, ['SEQNUM', String(seqnum + position)]]), isLost: index !== undefined && lost.has(index), isLate: index !== undefined && late.has(index),
    isHidden: index !== undefined && hidden.has(index),
  }));
  for (const fault of faults) {
    const at = fault.kind === 'swap' ? deliveries.findIndex(({ index }) => index === fault.at) : -1;
    const [first, second] = [deliveries[at], deliveries[at + 1]];
    if (!first || !second || pathsOf(first).some((a) => pathsOf(second).some((b) => areRelated(a, b)))) continue;
    deliveries.splice(at, 2, second, first);
  }
  return deliveries;
}

export function areRelated(a: string, b: string): boolean {
  return isBelow(a, b) || isBelow(b, a);
}

/** Or the same. */
function isBelow(devpath: string, top: string): boolean {
  return devpath === top || devpath.startsWith(`${top}/`);
}

function devpathOf(properties: ReadonlyMap<string, string>): string {
  return properties.get('DEVPATH') ?? '';
}

/** A device that moves has two. */
function pathsOf({ properties }: Delivery): readonly string[] {
  return [devpathOf(properties), ...(properties.has('DEVPATH_OLD') ? [properties.get('DEVPATH_OLD') ?? ''] : [])];
}

/** The shortest list that still fails, by leaving out one after the other. */
export async function shrink(faults: readonly Fault[], fails: (faults: readonly Fault[]) => Promise<boolean>): Promise<readonly Fault[]> {
  let least = faults;
  for (let at = 0; at < least.length;) {
    const fewer = least.toSpliced(at, 1);
    if (await fails(fewer)) least = fewer;
    else at++;
  }
  return least;
}

/** Mulberry32: small, and the same everywhere. Numbers from 0 to below 1. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
