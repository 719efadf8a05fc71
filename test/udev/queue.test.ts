// The queue of events: each starts when it comes, up to a limit.

import { describe, expect, it } from 'vitest';

import { openQueue } from '../../src/udev/queue.ts';
import { parseUeventMessage } from '../../src/udev/uevent.ts';
import { eventBytes, gate } from './fakes.ts';

const event = (devpath: string) => parseUeventMessage(eventBytes(devpath, 'x:a'));

describe('openQueue', () => {
  it('starts events as they come, and is idle when the last has ended', async () => {
    const gates = { '/a': gate(), '/b': gate() };
    const seen: string[] = [];
    const queue = openQueue({
      handle: async ({ devpath }) => {
        seen.push(`start ${devpath}`);
        await gates[devpath as keyof typeof gates].opened;
        seen.push(`end ${devpath}`);
      },
      onError: () => seen.push('error'),
      onOverflow: () => seen.push('overflow'),
    });
    await queue.idle();
    queue.push(event('/a'));
    queue.push(event('/b'));
    expect(queue.size).toBe(2);
    gates['/b'].open();
    gates['/a'].open();
    await queue.idle();
    expect({ seen, size: queue.size }).toEqual({ seen: ['start /a', 'start /b', 'end /b', 'end /a'], size: 0 });
  });

  it('refuses events beyond its limit', async () => {
    const all = gate();
    const refused: string[] = [];
    const queue = openQueue({ handle: () => all.opened, onError: () => undefined, onOverflow: ({ devpath }) => refused.push(devpath), limit: 2 });
    for (const devpath of ['/a', '/b', '/c']) queue.push(event(devpath));
    expect(refused).toEqual(['/c']);
    all.open();
    await queue.idle();
  });

  it('tells of a handler that rejects, and goes on', async () => {
    const errors: unknown[] = [];
    const queue = openQueue({
      handle: ({ devpath }) => (devpath === '/a' ? Promise.reject(new Error('broken')) : Promise.resolve()),
      onError: ({ devpath }, error) => errors.push([devpath, error]),
      onOverflow: () => undefined,
    });
    queue.push(event('/a'));
    queue.push(event('/b'));
    await queue.idle();
    expect(errors).toEqual([['/a', new Error('broken')]]);
  });
});
