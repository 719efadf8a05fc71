import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../../../src/system.ts';
import { netIdBuiltin } from '../../../src/udev/builtin/net-id.ts';
import { fixtureRoot, recordingLog } from '../../fixture-root.ts';
import { contextOf, plainDevice } from './plain-device.ts';

type Files = Readonly<Record<string, string | Uint8Array>>;

const OUI = new Map([['ID_OUI_FROM_DATABASE', 'Intel Corporate']]);
const builtin = netIdBuiltin({ lookup: (key) => (key.startsWith('OUI:001B21') ? OUI : new Map()) });
const MULTIFUNCTION = Uint8Array.from({ length: 64 }, (_, index) => (index === 14 ? 0x80 : 0));
const LINK: Files = { type: '1\n', iflink: '5\n', addr_assign_type: '0\n', address: '00:1b:21:aa:bb:cc\n' };

/** Devices from the top down, each `bus` and `name`, with their files; the last is the interface. */
function names(parents: readonly (readonly [bus: string, name: string, files?: Files])[], link: Files = {}, options: { files?: Files; env?: string; ifname?: string; cmdline?: string } = {}) {
  const root = fixtureRoot({ 'proc/cmdline': options.cmdline ?? 'quiet\n', 'sys/bus/x': '' });
  let devpath = '/devices';
  for (const [bus, name, files = {}] of parents) {
    devpath += `/${name}`;
    const { uevent = 'X=1\n', ...others } = files;
    writeFiles(join(root, 'sys', devpath), { uevent, ...others });
    mkdirSync(join(root, 'sys/bus', bus), { recursive: true });
    symlinkSync(join(root, 'sys/bus', bus), join(root, 'sys', devpath, 'subsystem'));
  }
  devpath += `/net/${options.ifname ?? 'eth5'}`;
  writeFiles(join(root, 'sys', devpath), { uevent: 'IFINDEX=5\n', ...LINK, ...link });
  writeFiles(root, options.files ?? {});
  const log = recordingLog();
  const system = openSystem({ root, log, env: { NET_NAMING_SCHEME: options.env } });
  const findDevice = (id: string) => plainDevice(system, `/devices/${id.replace('+pci:', '')}`);
  const outcome = builtin.run(contextOf(system, devpath, { findDevice }), ['net_id']);
  if (!(outcome instanceof Map)) return outcome;
  return [...outcome].filter(([key]) => !/SCHEME|NAME_MAC|OUI/.test(key)).map(([key, value]) => `${key.replace(/^ID_NET_/, '')}=${value}`);
}

function writeFiles(directory: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

/** What udevadm 252 says of the same trees: generated ones, 1500 devices, were compared; these are their kinds. */
describe('net_id', () => {
  it('names by path, function and port on PCI, virtio in between or not', () => {
    expect(names([['pci', '0000:00:03.0'], ['virtio', 'virtio2']])).toEqual(['NAME_PATH=enp0s3']);
    expect(names([['pci', '0001:0a:1f.7', { config: MULTIFUNCTION }]], { dev_port: '2\n' })).toEqual(['NAME_PATH=enP1p10s31f7d2']);
    expect(names([['pci', '0000:0a:1f.0', { config: MULTIFUNCTION, ari_enabled: '1\n' }]], { phys_port_name: 'p0\n' })).toEqual(['NAME_PATH=enp10s31f248np0']);
    expect(names([['pci', '0000:0a:1f.0']], { type: '32\n', dev_port: '0\n', dev_id: '0x1\n' })).toEqual(['NAME_PATH=ibp10s31d1']);
  });

  it('names by the index of the firmware', () => {
    const card = (files: Files) => names([['pci', '0000:00:03.0', files]]);
    expect(card({ acpi_index: '010\n', index: '3\n', label: 'Onboard LAN\n' })).toEqual(['NAME_ONBOARD=eno8', 'LABEL_ONBOARD=Onboard LAN', 'NAME_PATH=enp0s3']);
    expect(card({ index: '65536\n' })).toEqual(['NAME_PATH=enp0s3']);
  });

  it('names by hotplug slot, but not by one of a bridge', () => {
    const slot = (number: string, address: string) => ({ files: { [`sys/bus/pci/slots/${number}/address`]: `${address}\n` } });
    const bridge = { modalias: 'pci:v00008086d0000100Esv0sd0bc06sc04i00\n' };
    expect(names([['pci', '0000:01:03.0']], {}, slot('7', '0000:01:03'))).toEqual(['NAME_PATH=enp1s3', 'NAME_SLOT=ens7']);
    expect(names([['pci', '0000:00:02.0', bridge], ['pci', '0000:01:03.0']], {}, slot('7', '0000:00:02'))).toEqual(['NAME_PATH=enp1s3']);
    expect(names([['pci', '0000:00:02.0', bridge], ['pci', '0000:01:03.1', { config: MULTIFUNCTION }]], {}, slot('7', '0000:00:02')))
      .toEqual(['NAME_PATH=enp1s3f1', 'NAME_SLOT=ens7f1']);
    expect(names([['pci', '0001:01:03.0', { function_id: '0x00000012\n' }]], {}, slot('00000012', 'x'))).toEqual(['NAME_PATH=enP1p1s3', 'NAME_SLOT=ens18']);
  });

  it('names USB and BCMA behind PCI, and USB without PCI not', () => {
    const usb = ['usb', '1-1.4:2.1', { uevent: 'DEVTYPE=usb_interface\n' }] as const;
    expect(names([['pci', '0000:00:03.0'], usb], { uevent: 'IFINDEX=5\nDEVTYPE=wwan\n' })).toEqual(['NAME_PATH=wwp0s3u1u4c2i1']);
    expect(names([['platform', 'soc'], usb])).toEqual([]);
    expect(names([['pci', '0000:00:03.0'], ['bcma', 'bcma0:3']])).toEqual(['NAME_PATH=enp0s3b3']);
  });

  it('names on the other buses', () => {
    expect(names([['ccwgroup', '0.0.f5f0']])).toEqual(['NAME_PATH=encf5f0']);
    expect(names([['ccw', '0.0.0000']])).toEqual(['NAME_PATH=enc0']);
    expect(names([['none', 'vio'], ['vio', '3000000a']])).toEqual(['NAME_SLOT=env10']);
    expect(names([['none', 'platform'], ['platform', 'HISI00C2:01']])).toEqual(['NAME_PATH=enahisic2i1']);
    expect(names([['netdevsim', 'netdevsim10']], { phys_port_name: 'p1\n' })).toEqual(['NAME_PATH=eni10np1']);
    expect([names([['xen', 'vif-3']]), names([['xen', 'vif-03']])]).toEqual([['NAME_SLOT=enX3'], []]);
  });

  it('says nothing of stacked interfaces and of types without names', () => {
    expect([names([['pci', '0000:00:03.0']], { iflink: '2\n' }), names([['pci', '0000:00:03.0']], { type: '772\n' })]).toEqual([[], []]);
    expect(names([['pci', '0000:00:03.0']], { type: 'x\n' })).toBeUndefined();
  });

  it('names by the address and its maker', () => {
    const root = fixtureRoot({ 'sys/class/net/x': '', 'sys/devices/net/eth5/uevent': 'IFINDEX=5\n' });
    writeFiles(join(root, 'sys/devices/net/eth5'), LINK);
    const run = () => builtin.run(contextOf(openSystem({ root, env: {} }), '/devices/net/eth5'), ['net_id']);
    const all = [['ID_NET_NAMING_SCHEME', 'v252'], ['ID_NET_NAME_MAC', 'enx001b21aabbcc'], ['ID_OUI_FROM_DATABASE', 'Intel Corporate']];
    expect(run()).toEqual(new Map(all as [string, string][]));
    writeFileSync(join(root, 'sys/devices/net/eth5/addr_assign_type'), '1\n');
    expect(run()).toEqual(new Map([['ID_NET_NAMING_SCHEME', 'v252']]));
  });

  it('keeps to an older scheme', () => {
    const vif = (env: string, cmdline?: string) => names([['xen', 'vif-3']], {}, { env, ...(cmdline === undefined ? {} : { cmdline }) });
    expect([vif('v249'), vif('v250'), vif('latest'), vif('v999')]).toEqual([[], ['NAME_SLOT=enX3'], ['NAME_SLOT=enX3'], ['NAME_SLOT=enX3']]);
    expect([vif('', 'net.naming_scheme=v249'), vif('v252', 'net.naming_scheme=v249'), vif(':v252', 'a net.naming_scheme=v249')])
      .toEqual([[], ['NAME_SLOT=enX3'], []]);
  });

  it('names a virtual function after its physical one', () => {
    const root = fixtureRoot({ 'sys/bus/pci/x': '' });
    for (const name of ['0000:01:00.0', '0000:01:10.2']) {
      writeFiles(join(root, 'sys/devices', name), { uevent: 'X=1\n' });
      symlinkSync(join(root, 'sys/bus/pci'), join(root, 'sys/devices', name, 'subsystem'));
    }
    writeFiles(join(root, 'sys/devices/0000:01:10.2/net/eth5'), { uevent: 'IFINDEX=5\n', ...LINK, addr_assign_type: '1\n' });
    symlinkSync('../0000:01:00.0', join(root, 'sys/devices/0000:01:10.2/physfn'));
    symlinkSync('../0000:01:10.2', join(root, 'sys/devices/0000:01:00.0/virtfn4'));
    const system = openSystem({ root, env: {} });
    const findDevice = (id: string) => plainDevice(system, `/devices/${id.replace('+pci:', '')}`);
    expect(builtin.run(contextOf(system, '/devices/0000:01:10.2/net/eth5', { findDevice }), ['net_id']))
      .toEqual(new Map([['ID_NET_NAMING_SCHEME', 'v252'], ['ID_NET_NAME_PATH', 'enp1s0v4']]));
  });
});
