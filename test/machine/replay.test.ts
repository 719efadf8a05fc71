import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { replayApplet } from '../../src/applets/replay.ts';
import { type Fault, faultsOf, shrink, withFaults } from '../../src/machine/chaos.ts';
import { openMachine } from '../../src/machine/open-machine.ts';
import type { Machine } from '../../src/machine/open-machine.ts';
import { formatEvent } from '../../src/machine/recording.ts';
import type { RecordedEvent } from '../../src/machine/recording.ts';
import { replay } from '../../src/machine/replay.ts';
import { openSystem } from '../../src/system.ts';
import type { ModuleProber } from '../../src/udev/load.ts';
import { parseRules } from '../../src/udev/rules/parse.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';

const HOST = '/devices/pci0/usb1';
const STICK = `${HOST}/1-1`;

const event = (ms: number, ACTION: string, DEVPATH: string, SUBSYSTEM: string, more: Readonly<Record<string, string>> = {}): RecordedEvent => (
  { ms, properties: new Map(Object.entries({ ACTION, DEVPATH, SUBSYSTEM, ...more, SEQNUM: String(100 + ms) })) }
);
const BLOCK = { DEVNAME: 'sda', MAJOR: '8', MINOR: '0', DEVTYPE: 'disk' };
/** A stick is plugged in and out, and in again; an interface gets its name. */
const EVENTS: readonly RecordedEvent[] = [
  event(0, 'add', STICK, 'usb', { MODALIAS: 'usb:stick' }), event(1, 'add', `${STICK}/block/sda`, 'block', BLOCK), event(2, 'change', `${STICK}/block/sda`, 'block', BLOCK),
  event(3, 'remove', `${STICK}/block/sda`, 'block', BLOCK), event(4, 'remove', STICK, 'usb', { MODALIAS: 'usb:stick' }),
  event(5, 'add', STICK, 'usb', { MODALIAS: 'usb:stick' }), event(6, 'add', `${STICK}/block/sda`, 'block', BLOCK),
  event(7, 'add', '/devices/pci0/net/eth0', 'net', { INTERFACE: 'eth0', IFINDEX: '2' }),
  event(8, 'move', '/devices/pci0/net/lan', 'net', { INTERFACE: 'lan', IFINDEX: '2', DEVPATH_OLD: '/devices/pci0/net/eth0' }),
];
const RECORDING = `P: /devices/pci0\nE: SUBSYSTEM=pci\nE: MODALIAS=pci:host\n\nP: ${HOST}\nE: SUBSYSTEM=usb\nE: MODALIAS=usb:hub\n\nP: /devices/tsmodprobe\nE: SUBSYSTEM=tsmodprobe\nA: version=1\\n\n${EVENTS.map(formatEvent).join('')}`;

const { rules } = parseRules(Buffer.from('SUBSYSTEM=="block", SYMLINK+="stick", TAG+="t", MODE="0640", RUN+="/bin/false", PROGRAM=="/bin/true"\n'), 'a.rules');

/** Every modalias is the name of its module. */
const PROBER: ModuleProber = {
  plan: (target) => ({ target, goals: [{ module: target, reason: { kind: 'requested', from: target }, status: 'load', steps: [] }], warnings: [] }),
  execute: async ({ target, goals, warnings }) => ({ target, goals: goals.map((goal) => ({ ...goal, outcome: 'skipped', steps: [] })), warnings, ms: 0 }),
  reload: () => undefined,
};

async function play(faults: readonly Fault[], look: (machine: Machine) => void = () => undefined) {
  const native = openFakeNative();
  const machine = openMachine(join(fixtureRoot({ 'a.rec': RECORDING }), 'a.rec'), { open: (options) => openSystem({ ...options, native, log: recordingLog() }) });
  try {
    const result = await replay(machine, { kmod: PROBER, rules: { files: [rules] }, faults });
    look(machine);
    // Nothing reached the machine below.
    expect(native.calls.filter(({ call }) => call !== 'setCloseOnExec' && call !== 'flock')).toEqual([]);
    return result;
  } finally {
    machine.close();
  }
}

describe('replay', () => {
  it('brings the daemon to where the machine was in the end', async () => {
    const result = await play([], ({ root }) => {
      expect(readlinkSync(join(root, 'dev/sda'))).toBe(`../sys${STICK}/block/sda`);
      expect(readdirSync(join(root, 'run/udev/data')).sort()).toEqual(['b8:0', 'n2']);
      expect(existsSync(join(root, 'sys/devices/pci0/net/lan/uevent'))).toBe(true);
    });
    expect(result).toMatchObject({ events: 9, lost: 0, handled: 11, devices: 5, problems: [] });
    expect(result.programs).toBeGreaterThan(0);
    expect(result.commands).toEqual(['/bin/true', '/bin/false']);
    expect(result.nodes).toEqual([{ name: 'sda', type: 'block', major: 8, minor: 0, mode: 0o640, links: ['stick'] }]);
  });

  it.each<[string, readonly Fault[]]>([
    ['lost events', [{ kind: 'drop', at: 3, count: 3 }]], ['all of them', [{ kind: 'drop', at: 0, count: 9 }]], ['events before their device', [{ kind: 'late', at: 0 }, { kind: 'late', at: 6 }]],
    ['an unplugged stick', [{ kind: 'unplug', at: 6, devpath: STICK }]], ['modules that stall and fail', [{ kind: 'stall', module: 'usb:stick' }, { kind: 'fail', module: 'usb:stick' }]],
    ['an event that is overtaken', [{ kind: 'swap', at: 6 }]],
  ])('survives %s', async (_, faults) => {
    expect(await play(faults)).toMatchObject({ problems: [] });
  });

  it('survives whatever seeds choose', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const faults = faultsOf(seed, EVENTS, ['usb:stick']);
      expect({ seed, faults, ...await play(faults) }).toMatchObject({ problems: [] });
    }
  });

  it('sees what is wrong, and shrinks it', async () => {
    const faults: readonly Fault[] = [{ kind: 'late', at: 0 }, { kind: 'hide', at: 6 }, { kind: 'stall', module: 'usb:stick' }, { kind: 'swap', at: 7 }];
    expect((await play(faults)).problems).toEqual([`forgotten: ${STICK}/block/sda`]);
    expect(await shrink(faults, async (fewer) => (await play(fewer)).problems.length > 0)).toEqual([{ kind: 'hide', at: 6 }]);
    expect((await play([{ kind: 'hide', at: 3 }])).problems).toEqual([]);
    expect((await play([{ kind: 'hide', at: 4 }, { kind: 'hide', at: 5 }, { kind: 'unplug', at: 6, devpath: STICK }])).problems).toEqual([]);
    expect((await play([{ kind: 'hide', at: 8 }])).problems).toEqual(['forgotten: /devices/pci0/net/lan', 'still known, and gone: /devices/pci0/net/eth0']);
  });
});

describe('withFaults', () => {
  const shown = (faults: readonly Fault[]) => withFaults(EVENTS, faults, 50).map(({ properties, isLost }) => (
    `${properties.get('SEQNUM')} ${properties.get('ACTION')} ${properties.get('DEVPATH')?.replace(/.*\//, '')}${isLost ? ' lost' : ''}`
  ));

  it('numbers the stream, swaps what is not related, and loses', () => {
    expect(shown([{ kind: 'swap', at: 6 }, { kind: 'swap', at: 0 }, { kind: 'drop', at: 1, count: 2 }])).toEqual([
      '50 add 1-1', '51 add sda lost', '52 change sda lost', '53 remove sda', '54 remove 1-1', '55 add 1-1', '57 add eth0', '56 add sda', '58 move lan',
    ]);
  });

  it('unplugs with all children, and the events of what is gone do not happen', () => {
    expect(shown([{ kind: 'unplug', at: 1, devpath: STICK }])).toEqual([
      '50 add 1-1', '51 add sda', '52 remove sda', '53 remove 1-1', '54 add 1-1', '55 add sda', '56 add eth0', '57 move lan',
    ]);
  });

  it('chooses the same by the same seed', () => {
    expect(faultsOf(5, EVENTS, ['m'])).toEqual(faultsOf(5, EVENTS, ['m']));
    expect(new Set(Array.from({ length: 50 }, (_, seed) => faultsOf(seed, EVENTS, ['m'])).flat().map(({ kind }) => kind))).toEqual(new Set(['swap', 'drop', 'late', 'unplug', 'fail', 'stall']));
    expect(faultsOf(5, [], []).filter(({ kind }) => kind !== 'fail')).toEqual([]);
  });
});

describe('tskmod replay', () => {
  const run = (...argv: readonly string[]) => runApplet(replayApplet, argv, { root: fixtureRoot({ 'lib/modules/6.12.0-test/modules.dep': '' }) });

  it('says how it went', async () => {
    const file = join(fixtureRoot({ 'a.rec': RECORDING }), 'a.rec');
    const { status, stdout, stderr } = await run(file, '--no-rules', '--chaos', '3', '-S', '6.12.0-test');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^.*a\.rec: \d+ events played.*\n5 devices in the end; 0 modules would be loaded, \d nodes made; 0 programs were not run\nfaults of seed 3: .+\nAll is as it must be\.\n$/);
    expect((await run(file, '--no-rules', '-v', '-S', '6.12.0-test')).stdout).toMatch(/^node: b 8:0      - - -  sda$/m);
    expect(await run(file, '--chaos', 'x')).toEqual({ status: 2, stdout: '', stderr: "replay: --chaos takes a number, not 'x'\n" });
    expect(await run()).toEqual({ status: 2, stdout: '', stderr: 'replay: one recording is needed\n' });
    expect(await run('/nonexistent')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^replay: --machine: ENOENT/) });
  });
});
