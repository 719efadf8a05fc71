import { describe, expect, it } from 'vitest';

import { postponeOptimising } from '../../src/udev/late-optimiser.ts';

describe('postponeOptimising', () => {
  it('stops the compilers, and starts them once after so many events', () => {
    const flags: string[] = [];
    const onEvent = postponeOptimising({ events: 3, setFlags: (flag) => flags.push(flag) });
    expect(flags).toEqual(['--no-sparkplug', '--no-opt']);
    onEvent();
    onEvent();
    expect(flags).toHaveLength(2);
    for (let i = 0; i < 5; i++) onEvent();
    expect(flags).toEqual(['--no-sparkplug', '--no-opt', '--sparkplug', '--opt']);
  });
});
