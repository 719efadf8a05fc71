import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeAnswer } from '../../native-bindings/fake.ts';
import { openSystem } from '../../src/system.ts';
import { isInterfaceName, renameInterface } from '../../src/udev/net-rename.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { testClock } from './fakes.ts';

function machine(...answers: readonly Omit<FakeAnswer, 'call'>[]) {
  const native = openFakeNative({ answers: answers.map((answer) => ({ call: 'renameInterface', ...answer })) });
  const log = recordingLog();
  const clock = testClock();
  const root = fixtureRoot({ 'sys/class/net/lan0/ifindex': '5\n', 'sys/class/net/eth0/ifindex': '2\n' });
  const system = openSystem({ root, native, log, clock });
  return { native, log, clock, rename: (name: string, ifindex: number | undefined = 2) => renameInterface(system, { ifindex, sysname: 'eth0' }, name) };
}

const [EEXIST, EBUSY, ENODEV, EPERM] = [17, 16, 19, 1];

describe('renameInterface', () => {
  it('renames by the index', async () => {
    const { rename, native, log } = machine();
    expect(await rename('lan1')).toBe('renamed');
    expect(native.calls).toEqual([{ call: 'renameInterface', ifindex: 2, name: 'lan1' }]);
    expect(log.lines).toEqual(['info renamed: interface 2: eth0 is now lan1']);
  });

  it('has nothing to do where the name is right, or there is no interface', async () => {
    const { rename, native } = machine();
    expect([await rename('eth0'), await renameInterface(openSystem({ native }), { ifindex: undefined, sysname: 'x' }, 'lan1')]).toEqual(['unchanged', 'unchanged']);
    expect(native.calls).toEqual([]);
  });

  it('waits for an interface that has the name but is to lose it', async () => {
    const { rename, clock } = machine({ errno: EEXIST, times: 3 });
    expect(await rename('lan0')).toBe('renamed');
    expect(clock.sleeps).toEqual([100, 100, 100]);
  });

  it('gives up on a name that stays taken', async () => {
    const { rename, log, clock } = machine({ errno: EEXIST });
    expect(await rename('lan0')).toBe('collision');
    expect(clock.sleeps).toHaveLength(9);
    expect(log.lines).toEqual(['warn rename-failed: interface eth0 cannot be renamed to lan0: interface 5 has that name']);
  });

  it.each([
    [EBUSY, 'busy', 'warn rename-failed: interface eth0 cannot be renamed to lan1: it is up'],
    [ENODEV, 'gone', 'debug interface-gone: interface 2 (eth0) is gone: not renamed'],
    [EPERM, 'failed', 'warn rename-failed: interface eth0 cannot be renamed to lan1: EPERM'],
  ])('says what errno %i means', async (errno, outcome, line) => {
    const { rename, log } = machine({ errno });
    expect(await rename('lan1')).toBe(outcome);
    expect(log.lines).toEqual([line]);
  });

  it('asks the kernel for no name that it would refuse', async () => {
    const { rename, native } = machine();
    expect(await rename('a/b')).toBe('failed');
    expect(native.calls).toEqual([]);
  });
});

describe('isInterfaceName', () => {
  it('takes what the kernel takes', () => {
    expect(['eth0', 'wlp2s0.7', 'é', 'a-b_c'].map(isInterfaceName)).toEqual(Array(4).fill(true));
    expect(['', '.', '..', 'a b', 'a/b', 'a:b', 'a%d', '12', 'a\n', 'x'.repeat(16)].map(isInterfaceName)).toEqual(Array(10).fill(false));
  });
});
