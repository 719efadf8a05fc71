// tskmod why on a small machine: a network card behind a bridge, its modules, rules, configuration and journal.

import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { whyApplet } from '../../src/applets/why.ts';
import { formatDecision, type Decision } from '../../src/udev/decision-record.ts';
import type { Explanation } from '../../src/why/explanation.ts';
import { runApplet } from '../applets/run-applet.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';

const TREE = 'lib/modules/6.12.0-test';
const CARD = '/devices/pci0000:00/0000:00:1c.0/0000:01:00.0';
const MODALIAS = 'pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00';

const FILES = {
  [`${TREE}/kernel/e1000e.ko`]: buildModule({ modinfo: ['license=GPL'], needs: [{ name: 'ptp_clock' }, { name: 'printk' }] }),
  [`${TREE}/kernel/ptp.ko`]: buildModule({ modinfo: ['license=GPL'], needs: [{ name: 'pps_event' }], exports: [{ name: 'ptp_clock', crc: 1 }] }),
  [`${TREE}/kernel/pps_core.ko`]: buildModule({ modinfo: ['license=GPL'], exports: [{ name: 'pps_event', crc: 2 }] }),
  [`${TREE}/kernel/xfs.ko`]: buildModule({ modinfo: ['license=GPL'] }),
  [`${TREE}/modules.dep`]: 'kernel/pps_core.ko:\nkernel/ptp.ko: kernel/pps_core.ko\nkernel/e1000e.ko: kernel/ptp.ko kernel/pps_core.ko\nkernel/xfs.ko:\n',
  [`${TREE}/modules.alias`]: 'alias fs-xfs xfs\nalias pci:v00008086d000010D4sv*sd*bc*sc*i* igb\nalias pci:v00001234d*sv*sd*bc*sc*i* bochs\nalias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n',
  [`${TREE}/modules.symbols`]: 'alias symbol:ptp_clock ptp\nalias symbol:pps_event pps_core\n',
  [`${TREE}/modules.builtin`]: '', [`${TREE}/modules.builtin.modinfo`]: '',
  'etc/modprobe.d/local.conf': 'options e1000e debug=1\nsoftdep e1000e pre: xfs\nblacklist igb\n',
  'usr/lib/udev/rules.d/50-udev-default.rules': 'SUBSYSTEM=="tty", MODE="0660"\n',
  'usr/lib/udev/rules.d/80-drivers.rules': 'ACTION!="add", GOTO="end"\nENV{MODALIAS}=="?*", RUN{builtin}+="kmod load"\nLABEL="end"\n',
  'proc/sys/kernel/osrelease': '6.12.0-test\n', 'proc/filesystems': 'nodev\tproc\n',
  [`sys${CARD}/uevent`]: `DRIVER=e1000e\nPCI_CLASS=20000\nMODALIAS=${MODALIAS}\n`,
  'sys/devices/pci0000:00/0000:00:1c.0/uevent': 'DRIVER=pcieport\nMODALIAS=pci:v00001B36d0000000Csv00000000sd00000000bc06sc04i00\n',
  [`sys${CARD}/net/eth7/uevent`]: 'INTERFACE=eth7\nIFINDEX=7\n',
  'sys/module/e1000e/initstate': 'live\n', 'sys/module/ptp/initstate': 'live\n', 'sys/module/pps_core/initstate': 'live\n',
  'sys/module/ptp/holders/e1000e': '', 'sys/module/pps_core/holders/ptp': '',
};

const LINKS = {
  [`sys${CARD}/subsystem`]: '/bus/pci', [`sys${CARD}/driver`]: '/bus/pci/drivers/e1000e', [`sys${CARD}/net/eth7/subsystem`]: '/class/net',
  'sys/devices/pci0000:00/0000:00:1c.0/subsystem': '/bus/pci', 'sys/devices/pci0000:00/0000:00:1c.0/driver': '/bus/pci/drivers/pcieport',
  'sys/bus/pci/drivers/e1000e/module': '/module/e1000e', 'sys/class/net/eth7': CARD + '/net/eth7',
};

const LOAD = { module: 'e1000e', path: '/lib/modules/e1000e.ko', at: 1500, waitMs: 1, readMs: 2, decompressMs: 3, initMs: 14, outcome: 'inserted' } as const;
const DECISION: Decision = {
  name: MODALIAS, devpath: CARD, at: 1490, ms: 30, rule: { file: '/usr/lib/udev/rules.d/80-drivers.rules', line: 2 },
  modules: [{ module: 'ptp', reason: { kind: 'dep', from: 'e1000e' }, outcome: 'inserted' }, { module: 'e1000e', reason: { kind: 'alias', from: MODALIAS }, outcome: 'inserted' }],
  loads: [LOAD],
};

function machine(more: Readonly<Record<string, string>> = {}): string {
  const root = fixtureRoot({ ...FILES, 'run/udev/tsudevd.decisions': formatDecision(DECISION), ...more });
  for (const directory of ['sys/bus/pci/drivers/pcieport']) mkdirSync(join(root, directory), { recursive: true });
  for (const [link, target] of Object.entries(LINKS)) {
    mkdirSync(dirname(join(root, link)), { recursive: true });
    symlinkSync(`${root}/sys${target}`, join(root, link));
  }
  return root;
}

async function why(root: string, ...argv: string[]): Promise<{ readonly status: number; readonly text: string }> {
  const { status, stdout, stderr } = await runApplet(whyApplet, argv, { root, native: openFakeNative() });
  return { status, text: `${stdout}${stderr}`.replaceAll(root, '') };
}

async function whyData(root: string, target: string, ...argv: string[]): Promise<Explanation> {
  return JSON.parse((await why(root, '--json', ...argv, target)).text) as Explanation;
}

describe('tskmod why, forward', () => {
  it('leads from an interface to its module, with every source', async () => {
    expect(await why(machine(), '-v', 'eth7')).toEqual({ status: 0, text: `e1000e drives eth7 through 0000:01:00.0: loaded 1.500 s after the boot began

  device    /devices/pci0000:00/0000:00:1c.0  pci, driven by pcieport of the kernel
            /sys/devices/pci0000:00/0000:00:1c.0
  device    ${CARD}  pci
            /sys${CARD}
  device    ${CARD}/net/eth7  net
            /sys${CARD}/net/eth7
  modalias  ${MODALIAS}
            /sys${CARD}/uevent
  rule      RUN{builtin}="kmod load"  matches
            /usr/lib/udev/rules.d/80-drivers.rules:2
  alias     pci:v00008086d000010D3sv*sd*bc*sc*i*  of e1000e
            /lib/modules/6.12.0-test/modules.alias:4
~ nearly    pci:v00008086d000010D4sv*sd*bc*sc*i*  of igb: d is 000010D3, not 000010D4
            /lib/modules/6.12.0-test/modules.alias:2
  module    e1000e  is loaded
            /sys/module/e1000e/initstate
  needs     ptp  for ptp_clock
            /lib/modules/6.12.0-test/modules.dep:3
  softdep   xfs  before it
            /etc/modprobe.d/local.conf:2
  options   e1000e debug=1
            /etc/modprobe.d/local.conf:1
  loaded    e1000e  1.500 s after the boot began, in 20 ms
            /lib/modules/e1000e.ko
            wait 1.0 ms, read 2.0 ms, decompress 3.0 ms, init 14.0 ms
  driver    e1000e  drives it
            /sys${CARD}/driver
` });
  });

  it('is the same for the device by any name', async () => {
    const root = machine();
    const { links, ...head } = await whyData(root, CARD);
    expect(head).toMatchObject({ status: 'loaded', modules: ['e1000e'], driver: { name: 'e1000e', module: 'e1000e' } });
    expect((await whyData(root, `/sys${CARD}`)).links).toEqual(links);
    expect((await whyData(root, '/sys/class/net/eth7')).modules).toEqual(['e1000e']);
  });

  it('names the clause of the rule that did not match, and the jump over it', async () => {
    const file = 'usr/lib/udev/rules.d/80-drivers.rules';
    const clause = await whyData(machine({ [file]: 'ENV{MODALIAS}=="usb:*", RUN{builtin}+="kmod load"\n' }), CARD);
    expect(clause.links.find(({ kind }) => kind === 'rule')).toEqual({
      kind: 'rule', state: 'fails', name: 'RUN{builtin}="kmod load"', text: `does not run: ENV{MODALIAS}=="usb:*", which saw "${MODALIAS}"`, from: [2], source: { file: `/${file}`, line: 1 },
    });
    const jump = await whyData(machine({ [file]: 'SUBSYSTEM=="pci", GOTO="end"\nENV{MODALIAS}=="?*", RUN{builtin}+="kmod load"\nLABEL="end"\n' }), CARD);
    expect(jump.links.find(({ kind }) => kind === 'rule')).toMatchObject({ state: 'fails', text: 'does not run: SUBSYSTEM=="pci" with GOTO, which saw "pci"', source: { file: `/${file}`, line: 1 } });
  });

  it('tells a failure in the kernel\'s words, and what configuration forbids', async () => {
    const failure = { code: 'ENOEXEC', errno: 8, syscall: 'finit_module', text: 'Exec format error', kernel: ['e1000e: version magic differs'] };
    const failed = machine({
      'run/udev/tsudevd.decisions': formatDecision({ ...DECISION, loads: [{ ...LOAD, outcome: 'failed', failure }] }), 'sys/module/e1000e/initstate': 'going\n',
    });
    const { status, verdict, links } = await whyData(failed, MODALIAS);
    expect([status, verdict]).toEqual(['failed', `e1000e (for ${MODALIAS}) could not be loaded: Exec format error`]);
    expect(links.filter(({ kind }) => kind === 'failure' || kind === 'kernel').map(({ name, text }) => [name, text])).toEqual([['e1000e', 'Exec format error (ENOEXEC)'], ['e1000e: version magic differs', '']]);
    expect(await whyData(machine(), 'pci:v00008086d000010D4sv00000000sd00000000bc02sc00i00')).toMatchObject({ status: 'blacklisted', verdict: expect.stringMatching(/is not loaded: .*local\.conf:3 blacklists igb$/) });
    expect(await whyData(machine({ 'etc/modprobe.d/deny.conf': '#tsmodprobe: deny xfs\n' }), 'fs-xfs')).toMatchObject({ status: 'denied', verdict: expect.stringMatching(/must not be loaded: .*deny\.conf:1 denies xfs$/) });
  });

  it('says of another kernel\'s modules nothing that happened to this one', async () => {
    const other = Object.fromEntries(Object.entries(FILES).filter(([name]) => name.startsWith(TREE)).map(([name, content]) => [name.replace(TREE, 'lib/modules/6.1.0-test'), content]));
    const root = machine({ ...other, 'dev/kmsg': '4,1,100,-;xfs: refuses to work\n' });
    const told = async (target: string, ...argv: string[]) => (await whyData(root, target, ...argv)).links.flatMap(({ kind, name }) => (kind === 'kernel' || kind === 'load' ? [`${kind} ${name}`] : []));
    expect([await told(CARD), await told('xfs')]).toEqual([['load e1000e'], ['kernel xfs: refuses to work']]);
    expect([await told(CARD, '-S', '6.1.0-test'), await told('xfs', '-S', '6.1.0-test')]).toEqual([[], []]);
    expect((await whyData(root, CARD, '-S', '6.1.0-test')).verdict).toBe('e1000e drives 0000:01:00.0');
    expect((await whyData(root, 'e1000e')).verdict).toBe('e1000e is loaded: 0000:01:00.0 has a modalias of it');
    expect(await whyData(root, 'e1000e', '-S', '6.1.0-test')).toMatchObject({ status: 'not-loaded', verdict: 'e1000e is not loaded: 6.1.0-test does not run' });
  });

  it('knows file systems, images and names that nothing has', async () => {
    const root = machine({ 'disk.img': '' });
    const probed = (name: string, text: string) => ({ name, value: text, safe: text, encoded: text });
    const blkid = { library: 'fake', probe: async () => ({ values: [probed('TYPE', 'xfs'), probed('USAGE', 'filesystem')], partitions: [] }) };
    const image = await runApplet(whyApplet, ['--json', join(root, 'disk.img')], { root, native: openFakeNative({ blkid }) });
    expect(JSON.parse(image.stdout)).toMatchObject({ subject: 'image', status: 'not-loaded', modules: ['xfs'] });
    expect((await whyData(root, 'fs-xfs')).links.map(({ kind, name }) => [kind, name])).toEqual([['request', 'fs-xfs'], ['alias', 'fs-xfs'], ['module', 'xfs']]);
    expect(await why(root, 'e1000')).toEqual({ status: 1, text: 'e1000: no device, module, alias or file system has this name; names like it: e1000e\n' });
    expect((await why(root, 'proc')).text).toMatch(/^proc: the kernel has proc already\n/);
  });
});

describe('tskmod why, backward', () => {
  it('goes from a module over those that need it to the device', async () => {
    const { verdict, links } = await whyData(machine(), 'pps-core');
    expect(verdict).toBe('pps_core (for pps-core) is loaded: ptp needs it');
    expect(links.map(({ kind, name, from }) => [kind, name, from])).toEqual([
      ['request', MODALIAS, []], ['device', CARD, []], ['alias', 'pci:v00008086d000010D3sv*sd*bc*sc*i*', [1]], ['needs', 'e1000e', [2]],
      ['needs', 'ptp', [0, 3]], ['module', 'pps_core', [4]],
    ]);
  });

  it('names requests of the kernel and lists of the boot', async () => {
    const request: Decision = { name: 'fs-xfs', devpath: 'request_module', at: 9000, ms: 5, modules: [{ module: 'xfs', reason: { kind: 'alias', from: 'fs-xfs' }, outcome: 'inserted' }], loads: [] };
    const root = machine({ 'run/udev/tsudevd.decisions': formatDecision(request), 'etc/modules': '# comment\nxfs\n', 'sys/module/xfs/initstate': 'live\n', 'etc/modprobe.d/local.conf': '' });
    const { verdict, links } = await whyData(root, 'xfs');
    expect(verdict).toBe('xfs is loaded: the kernel asked for fs-xfs');
    expect(links.map(({ kind, name, text, from }) => [kind, name, text, from])).toEqual([
      ['list', 'xfs', 'is on a list of the boot', []], ['request', 'fs-xfs', 'by the kernel, 9.000 s after the boot began', []], ['module', 'xfs', 'is loaded', [0, 1]],
    ]);
  });
});

describe('tskmod why, as a graph', () => {
  it('draws every link once, for Graphviz and as SVG', async () => {
    const root = machine();
    const { links } = await whyData(root, CARD);
    const dot = (await why(root, '--dot', CARD)).text;
    expect(dot.match(/^ {2}n\d+ \[label/gm)).toHaveLength(links.length);
    expect(dot.match(/->/g)).toHaveLength(links.reduce((sum, { from }) => sum + from.length, 0));
    const svg = (await why(root, '--svg', CARD)).text;
    expect(svg.match(/<g transform/g)).toHaveLength(links.length);
    const places = [...svg.matchAll(/<g transform="translate\(([^)]*)\)/g)].map(([, at]) => at);
    expect(new Set(places).size).toBe(links.length);
  });

  it('refuses two forms at a time, and no target', async () => {
    expect(await why(machine(), '--dot', '--svg', CARD)).toEqual({ status: 1, text: 'why: only one of --json, --dot and --svg\n' });
    expect((await why(machine())).status).toBe(1);
  });
});
