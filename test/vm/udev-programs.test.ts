// NetworkManager and pyudev of Debian read libudev's database and hear its events: beside our daemon as beside udevd.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';

import { debianRules, UDEVD_COLDPLUG } from '../../scripts/debian-guest.mjs';
import type { VmOptions, VmResult } from '../../src/vm/vm.ts';
import { failureOf, guestKernel, guestText, runDebians, runOurs } from './guests.ts';
import { packagesInGuest } from './packages.ts';
import { makeImages } from './udev-images.ts';

const NETWORK_MANAGER = [
  'network-manager', 'libnm0', 'libndp0', 'libteamdctl0', 'libjansson4', 'libmm-glib0', 'libbluetooth3', 'libnewt0.52', 'libslang2', 'libreadline8',
  'libpolkit-agent-1-0', 'libpolkit-gobject-1-0', 'libglib2.0-0', 'libffi8', 'libpcre2-8-0', 'libselinux1', 'libmount1', 'libaudit1', 'libcap-ng0',
  'libcurl3-gnutls', 'libpsl5', 'libnghttp2-14', 'librtmp1', 'libssh2-1', 'libidn2-0', 'libldap-2.5-0', 'libsasl2-2', 'libbrotli1', 'libssl3',
  'libgssapi-krb5-2', 'libkrb5-3', 'libk5crypto3', 'libkrb5support0', 'libkeyutils1',
  'libgnutls30', 'libp11-kit0', 'libunistring2', 'libhogweed6', 'libnettle8', 'libtasn1-6', 'libgmp10',
];
const BUS = ['dbus-daemon', 'libdbus-1-3', 'libapparmor1', 'libexpat1', 'libsystemd0', 'libcap2', 'libgcrypt20', 'libgpg-error0', 'liblz4-1', 'libzstd1', 'liblzma5'];
const PYTHON = ['python3-pyudev', 'python3.11-minimal', 'libpython3.11-minimal', 'libpython3.11-stdlib'];
const PROGRAMS = ['usr/sbin/NetworkManager', 'usr/bin/nmcli', 'usr/bin/dbus-daemon', 'usr/bin/python3.11'];

/** Root may do all; systemd and polkit are not here. */
const BUS_CONFIG = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;

const NETWORK_MANAGER_CONFIG = `[main]
plugins=keyfile
auth-polkit=false
no-auto-default=*
[keyfile]
path=/run/connections
`;

/** The property has NetworkManager leave a device alone. */
const RULES = 'SUBSYSTEM=="net", ATTR{address}=="52:54:00:00:00:02", ENV{NM_UNMANAGED}="1", NAME="left0", TAG+="left"\n';

/** Looks devices up in each way that there is, then tells of events until a network card has come. */
const PYUDEV = `
import pyudev, sys
context = pyudev.Context()
monitor = pyudev.Monitor.from_netlink(context)
monitor.filter_by('net')
monitor.start()
for device in sorted(context.list_devices(subsystem='net'), key=lambda device: device.sys_name):
    print('device', device.sys_name, device.is_initialized, device.get('ID_NET_NAME_PATH'), device.get('ID_NET_DRIVER'), sorted(device.tags))
for device in context.list_devices(subsystem='block', DEVTYPE='disk').match_sys_name('vda'):
    print('disk', device.device_node, sorted(device.device_links), device.get('ID_SERIAL'), device.get('ID_FS_TYPE'), device.get('ID_FS_LABEL'))
by_file = pyudev.Devices.from_device_file(context, '/dev/vda')
print('same', by_file.sys_path == pyudev.Devices.from_name(context, 'block', 'vda').sys_path)
print('tagged', sorted({device.sys_name for device in context.list_devices(tag='left')}))
open('/tmp/listening', 'w').close()
while True:
    device = monitor.poll(timeout=60)
    if device is None:
        sys.exit('no event came')
    print('event', device.action, device.sys_name, device.get('ID_NET_DRIVER'), device.sequence_number > 0, flush=True)
    if device.action == 'add' and device.get('ID_NET_DRIVER') == 'virtio_net':
        break
`;

const OURS = `mkfifo /tmp/ready
tsudevd -l info --ready-fd 5 5> /tmp/ready 2> /tmp/said.daemon &
read -r line < /tmp/ready
`;

/** With either daemon. */
const SCRIPT = `
status() { echo "$1 $2" >> /tmp/steps; }
step() {
  name=$1
  shift
  timeout 60 "$@" > /tmp/said.$name 2>&1
  status $name $?
}
# Until NetworkManager says so of a device.
state() {
  for i in $(seq 1 150); do
    nmcli -t -f DEVICE,STATE device > /tmp/said.$1 2>&1
    if grep -q "^$2:$3" /tmp/said.$1; then status $1 0; return; fi
    usleep 300000
  done
  status $1 1
}
udevadm settle --timeout=60
mkdir -p /run/dbus /run/connections /var/lib/NetworkManager
ln -s /run /var/run
step bus dbus-daemon --config-file=/etc/bus.conf --nopidfile --fork
NetworkManager --no-daemon --log-level=INFO > /tmp/said.manager 2>&1 &
manager=$!
state managed enp0s16 disconnected
step devices nmcli -t -f DEVICE,TYPE,STATE device
python3.11 /etc/programs.py > /tmp/said.pyudev 2>&1 &
python=$!
for i in $(seq 1 150); do test -e /tmp/listening && break; usleep 200000; done
vmctl hmp netdev_add user,id=n9,restrict=on
vmctl hmp device_add virtio-net-pci,netdev=n9,bus=rp,mac=52:54:00:00:00:09
wait $python
status pyudev $?
state plugged enp1s0 disconnected
step more nmcli -t -f DEVICE,TYPE,STATE device
step card nmcli -t -g GENERAL.DRIVER,GENERAL.UDI,GENERAL.NM-MANAGED device show enp1s0
kill $manager
wait $manager
status manager $?
vmctl put /tmp/steps /tmp/said.*
`;

const network = (id: number) => ['-netdev', `user,id=n${id},restrict=on`, '-device', `virtio-net-pci,netdev=n${id},romfile=,addr=1${id - 1}.0,mac=52:54:00:00:00:0${id}`];

describe('devices with NetworkManager and pyudev', () => {
  let scratch = '';
  let skipped: string | undefined;
  const results: VmResult[] = [];

  beforeAll(async () => {
    const kernel = await guestKernel('6.12');
    if (typeof kernel === 'string') {
      skipped = kernel;
      return;
    }
    scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-programs-'));
    makeImages(scratch);
    const text = (name: string, target: string, content: string) => guestText(scratch, name, target, content);
    const rules = debianRules(scratch);
    const packages = packagesInGuest([...NETWORK_MANAGER, ...BUS, ...PYTHON], PROGRAMS);
    const options: VmOptions = {
      boot: 'bzimage', timeoutSeconds: 280, overlays: [...rules.overlays, ...packages.overlays],
      files: [
        ...rules.files, ...packages.files, text('bus', '/etc/bus.conf', BUS_CONFIG), text('manager', '/etc/NetworkManager/NetworkManager.conf', NETWORK_MANAGER_CONFIG),
        text('rules', '/etc/udev/rules.d/70-left.rules', RULES), text('programs.py', '/etc/programs.py', PYUDEV),
      ],
      qemuArguments: [
        '-drive', `if=none,id=disk,format=raw,snapshot=on,file=${join(scratch, 'ext4.img')}`, '-device', 'virtio-blk-pci,drive=disk,serial=disk',
        '-device', 'pcie-root-port,id=rp,chassis=1,slot=1', ...[1, 2].flatMap(network),
      ],
    };
    results.push(await runOurs(kernel, `${OURS}${SCRIPT}`, options), await runDebians(kernel, `${UDEVD_COLDPLUG}${SCRIPT}`, options));
  }, 600_000);
  afterAll(() => {
    if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
  });

  /** What a program said beside either daemon. */
  const said = (context: TestContext, name: string): readonly string[][] => {
    if (skipped !== undefined) context.skip(skipped);
    return results.map((result) => {
      const textOf = (file: string): string => result.files.get(file)?.toString('utf8') ?? '';
      expect(textOf('steps').split('\n'), `${textOf(`said.${name}`)}\n${textOf('said.daemon')}\n${failureOf(result)}`).toContain(`${name} 0`);
      return textOf(`said.${name}`).split('\n').filter(Boolean);
    });
  };

  it('are answered the same by pyudev', (context) => {
    const [ours, theirs] = said(context, 'pyudev');
    expect(ours).toEqual(theirs);
    expect(ours?.map((line) => line.replace(/\[('[^']*', )+/, '[…, '))).toEqual([
      'device enp0s16 True enp0s16 virtio_net []',
      "device left0 True enp0s17 virtio_net ['left']",
      'device lo True None None []',
      expect.stringMatching(/^disk \/dev\/vda \[…, '\/dev\/disk\/by-uuid\/\S+'\] disk ext4 \S+$/),
      'same True',
      "tagged ['left0']",
      'event add enp1s0 virtio_net True',
    ]);
  });

  it('are managed by NetworkManager, but for what a rule keeps from it', (context) => {
    const [ours, theirs] = said(context, 'devices');
    said(context, 'managed');
    expect(ours).toEqual(theirs);
    expect(ours).toEqual(['lo:loopback:connected (externally)', 'enp0s16:ethernet:disconnected', 'left0:ethernet:unmanaged']);
  });

  it('come to NetworkManager when they are plugged in', (context) => {
    said(context, 'plugged');
    const [ours, theirs] = said(context, 'more');
    expect(ours).toEqual(theirs);
    expect(ours).toContain('enp1s0:ethernet:disconnected');
    const [card, theirCard] = said(context, 'card');
    expect(card).toEqual(theirCard);
    expect(card?.[0]).toBe('virtio_net');
    said(context, 'manager');
  });
});
