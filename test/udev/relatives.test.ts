// Which earlier events an event waits for.

import { describe, expect, it } from 'vitest';

import { openRelatives } from '../../src/udev/relatives.ts';
import type { Kinship } from '../../src/udev/relatives.ts';
import { random } from '../random.ts';

type Event = { readonly id: string; readonly kinship: Kinship };
const event = (id: string, devpaths: readonly string[], names: readonly string[] = []): Event => ({ id, kinship: { devpaths, names } });

function blockersOf(events: readonly Event[]): readonly (readonly string[])[] {
  const relatives = openRelatives<Event>();
  return events.map((next) => [...relatives.add(next, next.kinship)].map(({ id }) => id).toSorted());
}

describe('openRelatives', () => {
  it('lets an event wait for the device, its parents and its children, and for nobody else', () => {
    expect(blockersOf([
      event('child', ['/devices/a/b']), event('cousin', ['/devices/ab']), event('self', ['/devices/a/b']), event('parent', ['/devices/a']),
      event('other child', ['/devices/a/c']), event('self again', ['/devices/a/b']),
    ])).toEqual([[], [], ['child'], ['self'], ['parent'], ['parent', 'self']]);
  });

  it('waits for both paths of a move, also when only a later event has them', () => {
    expect(blockersOf([
      event('old', ['/devices/eth0']), event('move', ['/devices/lan0', '/devices/eth0']), event('new', ['/devices/lan0/queues']), event('reuse', ['/devices/eth0']),
    ])).toEqual([[], ['old'], ['move'], ['move']]);
  });

  it('waits for the same device number, interface index or node name elsewhere in /sys', () => {
    expect(blockersOf([
      event('a', ['/devices/x'], ['b8:0', '/sda']), event('b', ['/devices/y'], ['b8:0']), event('c', ['/devices/z'], ['/sda', 'n2']), event('d', ['/devices/w'], ['n2']),
    ])).toEqual([[], ['a'], ['a'], ['c']]);
  });

  it('forgets what has finished', () => {
    const relatives = openRelatives<Event>();
    const [first, second] = [event('1', ['/devices/a'], ['n1']), event('2', ['/devices/a'], ['n1'])];
    relatives.add(first, first.kinship);
    relatives.add(second, second.kinship);
    // Only the last is known by name: the end of an older one changes nothing for those who wait for the newer.
    relatives.remove(first, first.kinship);
    const third = event('3', ['/devices/a/b'], ['n1']);
    expect([...relatives.add(third, third.kinship)]).toEqual([second]);
    relatives.remove(second, second.kinship);
    relatives.remove(third, third.kinship);
    const last = event('4', ['/devices']);
    expect([...relatives.add(last, last.kinship)]).toEqual([]);
  });

  it('holds every event until all earlier relatives have finished, whatever the order of ends', () => {
    const below = random(11);
    const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
    const paths = ['/d', '/d/a', '/d/a/b', '/d/a/c', '/d/e', '/d/e/f/g'];
    for (let round = 0; round < 200; round++) {
      const events = Array.from({ length: 12 }, (_, index) => event(String(index), below(5) === 0 ? [pick(paths), pick(paths)] : [pick(paths)], below(3) === 0 ? ['n1'] : []));
      const relatives = openRelatives<Event>();
      const waits = new Map(events.map((next) => [next, new Set(relatives.add(next, next.kinship))]));
      const finished: Event[] = [];
      while (finished.length < events.length) {
        const next = pick(events.filter((candidate) => !finished.includes(candidate) && waits.get(candidate)?.size === 0));
        for (const earlier of events.slice(0, events.indexOf(next))) {
          if (related(earlier, next)) expect(finished, `${JSON.stringify(earlier)} before ${JSON.stringify(next)}`).toContain(earlier);
        }
        finished.push(next);
        relatives.remove(next, next.kinship);
        for (const set of waits.values()) set.delete(next);
      }
    }
  });
});

function related(a: Event, b: Event): boolean {
  return a.kinship.names.some((name) => b.kinship.names.includes(name))
    || a.kinship.devpaths.some((x) => b.kinship.devpaths.some((y) => x === y || x.startsWith(`${y}/`) || y.startsWith(`${x}/`)));
}
