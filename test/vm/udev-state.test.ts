// After a coldplug with Debian's rules, our daemon and Debian's leave the same nodes, links, database and modules.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { debianRules, STATIC_NODES, UDEVD_COLDPLUG } from '../../scripts/debian-guest.mjs';
import type { VmOptions, VmResult } from '../../src/vm/vm.ts';
import { guestKernel, runDebians, runOurs } from './guests.ts';
import { packagesInGuest, VOLUME_PACKAGES, VOLUME_PROGRAMS } from './packages.ts';
import { makeImages } from './udev-images.ts';
import { UDEV_MACHINES } from './udev-machines.ts';
import { differences, factsOf } from './udev-state.ts';
import type { Capture, Facts } from './udev-state.ts';

/** What may differ: lines of `differences`, and why. */
const EXPLAINED: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/^\+ record \S+ E:ID_PATH_WITH_USB_REVISION = /, 'path_id of udev 255 says it, that of 252 not yet'],
  [/^\+ run links\/[^/]+\/\.lock = f 600 0:0$/, 'udev 255 locks the stack of a link with this file, 252 goes by time stamps'],
  [/^[-+] run control = s (?:755|600) 0:0$/, 'systemd makes it for udevd, with mode 0600 as ours has it; a udevd that runs alone leaves it to the umask'],
  [/^\+ run tsudevd\.(?:decisions|devices|events|modprobe|status) = /, 'for our restart, for what the kernel asks its helper, and for tskmod status, why and timeline'],
  [/^\+ run rules\.d = d 755 0:0$/, 'made to be watched: where it is absent, /run/udev is, which changes with every event'],
  [/^\+ module xxhash_generic = loaded$/, 'btrfs has four softdep lines in modules.softdep, of which kmod 30 takes the first (docs/deviations.md)'],
];

const PAIRS = [
  { machine: 'preset', series: '6.12' }, { machine: 'storage', series: '6.12' }, { machine: 'peripherals', series: '6.1' }, { machine: 'volumes', series: '6.1' },
] as const;

/**
 * Volumes are made when the coldplug is done; each program waits for udev to have told of what it made, mdadm not of the members:
 * whether udevd looks at one while mdadm still holds it is a race.
 * lvm knows modprobe by its path.
 */
const MAKE_VOLUMES = `mkdir -p /run/lock
ln -s "$(cat /proc/sys/kernel/modprobe)" /sbin/modprobe
hostname guest
set -e
cd /dev/disk/by-id
mdadm --create /dev/md/test --name=test --level=1 --raid-devices=2 --metadata=1.2 --uuid=11111111:22222222:33333333:44444444 --assume-clean --run virtio-md0 virtio-md1
udevadm trigger --settle --action=change /dev/disk/by-id/virtio-md0 /dev/disk/by-id/virtio-md1
lvm pvcreate -q --norestorefile --uuid 000000-0000-0000-0000-0000-0000-000000 /dev/disk/by-id/virtio-pv0
lvm pvcreate -q --norestorefile --uuid 111111-1111-1111-1111-1111-1111-111111 /dev/disk/by-id/virtio-pv1
lvm vgcreate -q vg /dev/disk/by-id/virtio-pv0 /dev/disk/by-id/virtio-pv1
lvm lvcreate -q -n a-b -L 16M --type mirror -m 1 --mirrorlog core --nosync -Zn vg
set +e
`;

/** The kernel looks for late devices in threads of its own: both guests get the same time for that. */
const CAPTURE = `sleep 3
udevadm settle --timeout=60
node /capture-state.mjs /tmp/state
vmctl put /tmp/state
`;

const ours = (prepare: string): string => `mkfifo /tmp/ready
tsudevd --ready-fd 5 5> /tmp/ready &
daemon=$!
read -r line < /tmp/ready
${prepare}${CAPTURE}
kill $daemon
wait $daemon
`;

describe.each(PAIRS)('tsudevd with Debian\'s rules on the machine $machine, $series', ({ machine, series }) => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-state-'));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('leaves what Debian\'s udevd leaves', async (context) => {
    const kernel = await guestKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    makeImages(scratch);
    const rules = debianRules(scratch);
    const capture = { source: fileURLToPath(new URL('capture-state.mjs', import.meta.url)), target: '/capture-state.mjs' };
    const volumes = machine === 'volumes' ? packagesInGuest(VOLUME_PACKAGES, VOLUME_PROGRAMS) : undefined;
    const prepare = volumes ? MAKE_VOLUMES : '';
    const options: VmOptions = {
      boot: 'bzimage', timeoutSeconds: 400, ...UDEV_MACHINES[machine](scratch),
      overlays: [...rules.overlays, ...volumes?.overlays ?? []], files: [...rules.files, ...volumes?.files ?? [], capture],
    };
    const debians = stateOf(await runDebians(kernel, `${STATIC_NODES}${UDEVD_COLDPLUG}${prepare}${CAPTURE}`, options));
    const own = stateOf(await runOurs(kernel, ours(prepare), options));
    expect(debians.size).toBeGreaterThan(500);
    expect(differences(debians, own).filter((line) => !EXPLAINED.some(([pattern]) => pattern.test(line)))).toEqual([]);
  }, 900_000);
});

function stateOf(result: VmResult): Facts {
  expect(result.exitCode, result.console).toBe(0);
  const capture: Capture = JSON.parse(result.files.get('state')?.toString('utf8') ?? '');
  return factsOf(capture);
}
