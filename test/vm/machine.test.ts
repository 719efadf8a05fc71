// A guest is recorded, and check says of initramfs files for it whether they boot it; then they do, or do not.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { checkApplet } from '../../src/applets/check.ts';
import { initramfsApplet } from '../../src/applets/initramfs.ts';
import { replayApplet } from '../../src/applets/replay.ts';
import { parseRecording } from '../../src/machine/recording.ts';
import { findTool } from '../../src/vm/host-tool.ts';
import { runVm } from '../../src/vm/vm.ts';
import { runApplet } from '../applets/run-applet.ts';
import { debianKernel, runOurs, whyNoVm } from './guests.ts';

const TIMEOUT = 240_000;
const UUID = '11111111-2222-3333-4444-555555555555';
const INCLUDE = ['virtio_blk', 'ext4', 'crc32c_generic', 'e1000e', 'usbhid', 'hid-generic', 'xhci-pci', 'evdev'].map((name) => `kernel/**/${name}`);

/** Mounts the disk, if it is there, and says so: 5 is yes. */
const MOUNT = `#!/bin/sh
mkdir -p /mnt
b=/bin/busybox
mount -t ext4 -o ro /dev/vda /mnt && status=5 || status=6
$b stty -F /dev/ttyS1 115200 raw -echo
exec 3<>/dev/ttyS1
$b stty -F /dev/ttyS0 onlcr
printf '@exit %d\\n' $status >&3
sleep 20
`;

type Checked = { readonly boots: boolean; readonly targets: readonly { readonly goal: string; readonly ok: boolean; readonly links: readonly { readonly missing: readonly string[] }[] }[] };

describe('a recorded guest', () => {
  let scratch = '';
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-machine-'));
    mkdirSync(join(scratch, 'hooks/shell'), { recursive: true });
    writeFileSync(join(scratch, 'hooks/shell/mount'), MOUNT);
    chmodSync(join(scratch, 'hooks/shell/mount'), 0o755);
    if (whyNoVm() === undefined) execFileSync(findTool('mke2fs') ?? 'mke2fs', ['-q', '-t', 'ext4', '-U', UUID, join(scratch, 'disk'), '16M']);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('is what check judges initramfs files by, and rightly so', { timeout: 2 * TIMEOUT }, async ({ skip }) => {
    const reason = whyNoVm();
    const kernel = await debianKernel('6.12');
    if (reason !== undefined || typeof kernel === 'string') return skip(reason ?? String(kernel));
    const hardware = { disks: [{ file: join(scratch, 'disk'), bus: 'virtio' as const, readOnly: true }], devices: ['e1000e', 'qemu-xhci,id=xhci', 'usb-kbd'], timeoutSeconds: TIMEOUT / 1000 };
    const recorded = await runOurs(kernel, `
tsudevd --coldplug-only > /dev/null
mount -t ext4 -o ro /dev/vda /mnt || exit 1
tskmod record -o /tmp/plain && tskmod record --anonymise -o /tmp/anonymous && tskmod record --machine /tmp/plain --anonymise -o /tmp/later || exit 1
tskmod record --follow -o /tmp/followed &
until grep -qs '^P: /devices/tsmodprobe' /tmp/followed; do usleep 100000; done
vmctl hmp device_add usb-tablet,bus=xhci.0,id=tablet > /dev/null
until grep -q 'ACTION=bind.*DRIVER=usbhid' /tmp/followed; do usleep 100000; done
vmctl hmp device_del tablet > /dev/null
until grep -q 'ACTION=remove.*DEVTYPE=usb_device' /tmp/followed; do usleep 100000; done
kill -INT $! && wait $! || exit 1
vmctl put /tmp/plain /tmp/anonymous /tmp/later /tmp/followed`, { ...hardware, include: INCLUDE });
    expect(recorded, recorded.console).toMatchObject({ exitCode: 0 });
    const file = (name: string): string => {
      writeFileSync(join(scratch, name), recorded.files.get(name) ?? '');
      return join(scratch, name);
    };
    const [plain, anonymous] = [file('plain'), file('anonymous')];
    const hidden = readFileSync(anonymous, 'utf8');
    expect(readFileSync(plain, 'utf8')).toMatch(new RegExp(`^E: ID_FS_UUID=${UUID}$`, 'm'));
    expect(hidden).not.toMatch(new RegExp(`${UUID}|52:54:00`));
    expect(hidden).toMatch(/^A: address=02:00:00:00:00:01$/m);
    // What a recording was made anonymous from, now or later, makes no difference but for what the second one saw change.
    const devpaths = (text: string): readonly string[] => parseRecording(text, 'text').devices.map(({ devpath, record }) => `${devpath} ${record?.properties.get('ID_FS_UUID') ?? ''}`);
    expect(devpaths(recorded.files.get('later')?.toString() ?? '')).toEqual(devpaths(hidden));

    const followed = parseRecording(recorded.files.get('followed')?.toString() ?? '', 'followed');
    expect(followed.events.map(({ properties }) => properties.get('ACTION'))).toEqual(expect.arrayContaining(['add', 'bind', 'unbind', 'remove']));
    for (const chaos of [[], ['--chaos', '1'], ['--chaos', '2']]) {
      const played = await runApplet(replayApplet, [file('followed'), '--no-rules', '--json', '--modules', kernel.modules ?? '', ...chaos], { root: '/', release: kernel.release ?? '' });
      expect(JSON.parse(played.stdout)).toMatchObject({ problems: [], modules: expect.arrayContaining(['joydev']) });
    }

    const whole = join(scratch, 'whole');
    const select = ['virtio_blk', 'ext4', 'crc32c_generic', 'xhci-pci', 'usbhid', 'hid-generic'].flatMap((name) => ['--select', name]);
    const made = await runApplet(initramfsApplet, ['create', '--kernel', '6.12', '--no-node', '--compress', 'none', '-o', whole, '--hooks', join(scratch, 'hooks'), ...select], { root: '/' });
    expect(made).toMatchObject({ status: 0, stderr: '' });
    const without = (...modules: readonly string[]): string => copyWithout(scratch, whole, modules);

    const check = async (image: string, recording: string, ...options: readonly string[]) => {
      const { status, stdout, stderr } = await runApplet(checkApplet, [image, '--machine', recording, '--json', ...options], { root: '/' });
      expect(stderr).toBe('');
      const { boots, targets } = JSON.parse(stdout) as Checked;
      return { status, boots, missing: targets.map(({ goal, ok, links }) => [goal, ok, ...links.flatMap(({ missing }) => missing)]) };
    };
    const root = ['--root', '/dev/vda'];
    const keyboard = ['keyboard', true];
    const network = ['network', false, 'e1000e'];
    const cases = [
      { image: whole, expected: { status: 0, boots: true, missing: [['root', true]] } },
      { image: without('virtio_blk'), expected: { status: 1, boots: false, missing: [['root', false, 'virtio_blk']] } },
      { image: without('crc32c_generic', 'crc32c-intel'), expected: { status: 1, boots: false, missing: [['root', false, 'crc32c_intel', 'crc32c_generic']] } },
    ];
    for (const { image, expected } of cases) {
      for (const recording of [plain, anonymous]) {
        const got = await check(image, recording, ...root);
        expect({ ...got, missing: got.missing.filter(([goal]) => goal === 'root') }).toEqual(expected);
      }
      const booted = await runVm({ ...hardware, kernel, initrd: image });
      expect(booted, booted.console).toMatchObject({ outcome: 'exited', exitCode: expected.boots ? 5 : 6 });
    }
    const all = await check(whole, plain, '--root', `UUID=${UUID}`, '--need', 'keyboard,network');
    expect(all).toEqual({ status: 1, boots: false, missing: [['root', true], keyboard, keyboard, network] });
    expect(await check(without('usbhid'), plain, ...root)).toMatchObject({ boots: true, missing: [['root', true], ['keyboard', false, 'usbhid'], keyboard, network] });
  });
});

/** The archive without the files of some modules; its indexes still speak of them. */
function copyWithout(scratch: string, archive: string, modules: readonly string[]): string {
  const name = join(scratch, `without-${modules.join('-')}`);
  const script = `mkdir "$1" && cd "$1" && cpio -id --quiet < "$2" && shift 2 && for m in "$@"; do find . -name "$m.ko" | grep . | xargs rm || exit 1; done && find . | cpio -o -H newc --quiet > "$OUT"`;
  execFileSync('sh', ['-c', script, 'sh', `${name}.d`, archive, ...modules], { env: { ...process.env, OUT: name }, stdio: ['ignore', 'inherit', 'inherit'] });
  return name;
}
