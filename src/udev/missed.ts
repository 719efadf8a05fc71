// What was missed: the difference between the devices that are known and those that are there, as the events that would have told.

import type { Scanned } from './scan.ts';
import type { Uevent, UeventProperties } from './uevent.ts';

/** A device as its last event left it. */
export type KnownDevice = {
  readonly devpath: string;
  readonly subsystem: string;
  /** Of the last event: the kernel's, without what concerns that event only. */
  readonly properties: UeventProperties;
};

/** Of an event and not of its device. */
function isOfTheEvent(key: string): boolean {
  return key === 'ACTION' || key === 'SEQNUM' || key === 'DEVPATH_OLD' || key.startsWith('SYNTH_');
}

/** What is worth knowing of a device after an event. */
export function knownDevice({ devpath, subsystem, properties }: Uevent): KnownDevice {
  const kept = new Map<string, string>();
  for (const [key, value] of properties) if (!isOfTheEvent(key)) kept.set(key, value);
  return { devpath, subsystem, properties: kept };
}

/**
 * The events, in the order in which they can be handled: what is gone, children first; then what is new or different, as it was scanned.
 * A driver that came or went makes a bind or unbind, any other difference in the `uevent` file a change. They carry `seqnum`, which
 * should be the kernel's newest when the scan began: libudev takes no event without one. `mayHaveChanged`: messages were lost, and a change
 * need not show in the `uevent` file (a disk that has grown, what `udevadm trigger` asked for): those without a difference get a change, too.
 */
export function missedEvents(
  known: ReadonlyMap<string, KnownDevice>, scanned: readonly Scanned[], seqnum: number, { mayHaveChanged = false }: { readonly mayHaveChanged?: boolean } = {},
): readonly Uevent[] {
  const there = new Set(scanned.map(({ devpath }) => devpath));
  const events: Uevent[] = [];
  for (const device of [...known.values()].toReversed()) {
    if (!there.has(device.devpath)) events.push(eventOf('remove', device, device.properties, seqnum));
  }
  for (const device of scanned) {
    const action = actionFor(known.get(device.devpath), device) ?? (mayHaveChanged ? 'change' : undefined);
    if (action !== undefined) events.push(eventOf(action, device, device.properties, seqnum));
  }
  return events;
}

/** An event as the kernel would have sent it, of a device with these properties of its `uevent` file. */
export function eventOf(action: string, { devpath, subsystem }: Pick<Scanned, 'devpath' | 'subsystem'>, own: UeventProperties, seqnum: number): Uevent {
  const properties = new Map([
    ['ACTION', action], ['DEVPATH', devpath], ['SUBSYSTEM', subsystem],
    ...[...own].filter(([key]) => key !== 'DEVPATH' && key !== 'SUBSYSTEM'), ['SEQNUM', String(seqnum)],
  ]);
  return { action, devpath, subsystem, seqnum, properties };
}

/** A device that was replaced by another of the same name is told by what made the difference: it is not another device number only. */
function actionFor(before: KnownDevice | undefined, { subsystem, properties }: Scanned): string | undefined {
  if (!before || before.subsystem !== subsystem) return 'add';
  const differs = (key: string): boolean => properties.get(key) !== before.properties.get(key);
  if (['MAJOR', 'MINOR', 'IFINDEX', 'DISKSEQ', 'MODALIAS'].some((key) => differs(key))) return 'add';
  if (differs('DRIVER')) return properties.has('DRIVER') ? 'bind' : 'unbind';
  for (const key of properties.keys()) if (differs(key)) return 'change';
  return undefined;
}
