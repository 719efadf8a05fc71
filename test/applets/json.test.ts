// docs/json.md beside the tools: each example there is what they print, on one small machine.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { Applet } from '../../src/applets/applet.ts';
import { checkApplet } from '../../src/applets/check.ts';
import { bundleApplet } from '../../src/applets/bundle.ts';
import { depmodApplet } from '../../src/applets/depmod.ts';
import { diffApplet } from '../../src/applets/diff.ts';
import { doctor } from '../../src/applets/doctor.ts';
import { helperApplet } from '../../src/applets/helper.ts';
import { insmod } from '../../src/applets/insmod.ts';
import { JSON_SCHEMA } from '../../src/applets/json.ts';
import { kmodApplet } from '../../src/applets/kmod.ts';
import { lint } from '../../src/applets/lint.ts';
import { lsmod } from '../../src/applets/lsmod.ts';
import { modinfo } from '../../src/applets/modinfo.ts';
import { modprobe } from '../../src/applets/modprobe.ts';
import { probeApplet } from '../../src/applets/probe.ts';
import { replayApplet } from '../../src/applets/replay.ts';
import { rmmod } from '../../src/applets/rmmod.ts';
import { timelineApplet } from '../../src/applets/timeline.ts';
import { whyApplet } from '../../src/applets/why.ts';
import { erofsChunks } from '../../src/image/erofs-write.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { runApplet } from './run-applet.ts';

const document = readFileSync(join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'docs/json.md'), 'utf8');

const RELEASE = '6.12.0-test';
const TREE = `lib/modules/${RELEASE}`;
const NEXT = 'lib/modules/6.13.0-test';

/** The machine of the document: e1000e needs ptp, which is loaded; i8042 is built in. */
const MACHINE = {
  [`${TREE}/kernel/e1000e.ko`]: buildModule({
    modinfo: ['license=GPL v2', 'description=Network driver', 'alias=pci:v00008086d000010D3*', 'depends=ptp', 'parm=debug:Debug level', 'parmtype=debug:int'], needs: [{ name: 'ptp_clock' }],
  }),
  [`${TREE}/kernel/ptp.ko`]: buildModule({ modinfo: ['license=GPL'], exports: [{ name: 'ptp_clock', crc: 0x1234 }] }),
  [`${TREE}/modules.dep`]: 'kernel/e1000e.ko: kernel/ptp.ko\nkernel/ptp.ko:\n',
  [`${TREE}/modules.alias`]: 'alias pci:v00008086d000010D3* e1000e\n',
  [`${TREE}/modules.symbols`]: 'alias symbol:ptp_clock ptp\n',
  [`${TREE}/modules.builtin`]: 'kernel/i8042.ko\n',
  [`${TREE}/modules.order`]: 'kernel/e1000e.ko\nkernel/ptp.ko\n',
  [`${TREE}/modules.builtin.modinfo`]: '',
  [`${TREE}/modules.devname`]: 'fuse fuse c10:229\n',
  'etc/modprobe.d/local.conf': 'options e1000e debug=1\nblacklist i8042\n',
  'proc/sys/kernel/modprobe': '/sbin/modprobe\n',
  'disk.img': '',
  'machine.rec': [
    'P: /devices/pci0000:00/0000:00:03.0', 'E: DRIVER=e1000e', 'E: MODALIAS=pci:v00008086d000010D3', 'E: SUBSYSTEM=pci', 'P: /devices/pci0000:00/0000:00:03.0/net/eth0', 'E: SUBSYSTEM=net',
    'P: /devices/tsmodprobe', 'A: version=1\\n', `A: proc/sys/kernel/osrelease=${RELEASE}\\n`, 'A: proc/modules=e1000e 1 0 - Live 0x0\\nptp 24576 1 e1000e, Live 0x0\\n',
    'L: sys/bus/pci/drivers/e1000e/module=../../../../module/e1000e',
    'A: event/000000=0.000000\\nACTION=change\\nDEVPATH=/devices/pci0000:00/0000:00:03.0/net/eth0\\nSUBSYSTEM=net\\nSEQNUM=7\\n', '',
  ].join('\n'),
  [`next/${NEXT}/e1000e.ko`]: buildModule({ modinfo: ['license=GPL v2', 'alias=pci:v00008086d000010D3*', 'depends='] }),
  [`next/${NEXT}/modules.dep`]: 'e1000e.ko:\n', [`next/${NEXT}/modules.alias`]: 'alias pci:v00008086d000010D3* e1000e\n', [`next/${NEXT}/modules.builtin`]: 'kernel/ptp.ko\n',
  'modules.erofs': Buffer.concat(Array.from(erofsChunks([{ path: `${RELEASE}/kernel/ptp.ko`, kind: 'file', size: 24_576, read: (target) => void target.fill(1) }]), (bytes) => Buffer.from(bytes))),
  'run/udev/tsudevd.events': '{"action":"add","devpath":"/devices/card","subsystem":"pci","queued":1000,"ready":1000,"started":1002,"ended":1012,"activities":[{"what":"rules","at":1002}]}\n',
  'proc/modules': 'ptp 24576 0 - Live 0x0\n',
  'sys/module/ptp/initstate': 'live\n', 'sys/module/ptp/refcnt': '0\n', 'sys/module/ptp/coresize': '24576\n',
};

const value = (name: string, text: string) => ({ name, value: text, safe: text, encoded: text });
const BLKID = { library: 'fake', probe: async () => ({ values: [value('TYPE', 'swap'), value('USAGE', 'other')], partitions: [] }) };

const TOOLS: Readonly<Record<string, Applet>> = {
  modprobe, insmod, rmmod, lsmod, modinfo, depmod: depmodApplet, doctor, lint, helper: helperApplet, probe: probeApplet, check: checkApplet, diff: diffApplet, replay: replayApplet, why: whyApplet, timeline: timelineApplet, bundle: bundleApplet, kmod: kmodApplet(() => undefined),
};

/** Of what needs busybox, Node or QEMU: printed in the tests of these tools. */
const WITHOUT_EXAMPLE = ['guest', 'initramfs', 'stage'];

/** Blocks of the document: `$ COMMAND` and the object that it prints, set over several lines. */
const examples = [...document.matchAll(/^```\n\$ (\S+) (.*)\n([^]*?)^```$/gm)].map(([, tool = '', args = '', json = '']) => ({ command: `${tool} ${args}`, tool, args, json }));

describe('docs/json.md', () => {
  it.each(examples)('$command', async ({ tool, args, json }) => {
    const root = fixtureRoot(MACHINE);
    const applet = TOOLS[tool] ?? modprobe;
    const words = args.split(' ').map((word) => (word.startsWith('/') ? root + word : word));
    const more = tool === 'depmod' ? ['--no-cache', '--jobs', '1', '-b', root, RELEASE] : [];
    const { stdout } = await runApplet(applet, [...words, ...more], { root, release: RELEASE, native: openFakeNative({ blkid: BLKID }) });
    // Where the machine is and how long it took are the test's own.
    const lines = stdout.replaceAll(root, '').replaceAll(/"ms":[\d.]+/g, '"ms":1').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([JSON.parse(json)]);
  });

  it('has every kind of object, and the schema that is printed', () => {
    const source = readFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../src/applets/json.ts'), 'utf8');
    const kinds = [...(/export type JsonKind =([^;]*);/.exec(source)?.[1] ?? '').matchAll(/'([\w-]+)'/g)].map(([, kind = '']) => kind);
    const shown = examples.map(({ json }) => JSON.parse(json) as { schema: number; kind: string });
    expect([...new Set(shown.map(({ kind }) => kind)), ...WITHOUT_EXAMPLE].sort()).toEqual(kinds.sort());
    for (const kind of WITHOUT_EXAMPLE) expect(document).toContain(`\n## ${kind}: `);
    expect([...new Set(shown.map(({ schema }) => schema))]).toEqual([JSON_SCHEMA]);
  });
});
