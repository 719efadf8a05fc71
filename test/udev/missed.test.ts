// The events that make up for what was missed.

import { describe, expect, it } from 'vitest';

import { knownDevice, missedEvents } from '../../src/udev/missed.ts';
import type { KnownDevice } from '../../src/udev/missed.ts';
import type { Scanned } from '../../src/udev/scan.ts';

const device = (devpath: string, properties: Readonly<Record<string, string>> = {}, subsystem = 'x'): KnownDevice & Scanned => (
  { devpath, subsystem, properties: new Map(Object.entries(properties)) }
);
const knownOf = (...devices: readonly KnownDevice[]) => new Map(devices.map((each) => [each.devpath, each]));
const told = (known: readonly KnownDevice[], scanned: readonly Scanned[]) => (
  missedEvents(knownOf(...known), scanned, 9).map(({ action, devpath }) => `${action} ${devpath}`)
);

describe('missedEvents', () => {
  it('adds what is new, parents first, and removes what is gone, children first', () => {
    expect(told(
      [device('/devices/a'), device('/devices/a/b'), device('/devices/same')],
      [device('/devices/c'), device('/devices/c/d'), device('/devices/same')],
    )).toEqual(['remove /devices/a/b', 'remove /devices/a', 'add /devices/c', 'add /devices/c/d']);
  });

  it('tells bind, unbind and change by what differs in the uevent file', () => {
    expect(told(
      [device('/a', { DRIVER: 'd' }), device('/b', {}), device('/c', { X: '1' }), device('/d', { EXTRA_OF_THE_EVENT: '1' })],
      [device('/a', {}), device('/b', { DRIVER: 'd' }), device('/c', { X: '2' }), device('/d', {})],
    )).toEqual(['unbind /a', 'bind /b', 'change /c']);
  });

  it('adds anew what is another device under the same path', () => {
    expect(told(
      [device('/a', { MAJOR: '8', MINOR: '0' }), device('/b', { DISKSEQ: '1' }), device('/c', {}, 'x')],
      [device('/a', { MAJOR: '8', MINOR: '16' }), device('/b', { DISKSEQ: '2' }), device('/c', {}, 'y')],
    )).toEqual(['add /a', 'add /b', 'add /c']);
  });

  it('tells of a change wherever there may have been one that no file shows', () => {
    const events = missedEvents(knownOf(device('/same'), device('/bound'), device('/gone')), [device('/same'), device('/bound', { DRIVER: 'd' }), device('/new')], 9, { mayHaveChanged: true });
    expect(events.map(({ action, devpath }) => `${action} ${devpath}`)).toEqual(['remove /gone', 'change /same', 'bind /bound', 'add /new']);
  });

  it('makes events with everything that libudev asks for', () => {
    const [event] = missedEvents(new Map(), [device('/devices/a', { MODALIAS: 'x:a' })], 9);
    expect(event).toEqual({
      action: 'add', devpath: '/devices/a', subsystem: 'x', seqnum: 9,
      properties: new Map([['ACTION', 'add'], ['DEVPATH', '/devices/a'], ['SUBSYSTEM', 'x'], ['MODALIAS', 'x:a'], ['SEQNUM', '9']]),
    });
  });
});

describe('knownDevice', () => {
  it('leaves out what concerns the event only', () => {
    const properties = new Map([['ACTION', 'move'], ['DEVPATH', '/b'], ['SUBSYSTEM', 'net'], ['DEVPATH_OLD', '/a'], ['SYNTH_UUID', '0'], ['IFINDEX', '2'], ['SEQNUM', '5']]);
    expect(knownDevice({ action: 'move', devpath: '/b', subsystem: 'net', seqnum: 5, properties }))
      .toEqual({ devpath: '/b', subsystem: 'net', properties: new Map([['DEVPATH', '/b'], ['SUBSYSTEM', 'net'], ['IFINDEX', '2']]) });
  });
});
