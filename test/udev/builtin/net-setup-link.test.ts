import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../../native-bindings/fake.ts';
import { openSystem } from '../../../src/system.ts';
import { netDriverBuiltin } from '../../../src/udev/builtin/net-driver.ts';
import { netSetupLinkBuiltin } from '../../../src/udev/builtin/net-setup-link.ts';
import { isInterfaceName, parseHardwareAddress, parseLinkConfig } from '../../../src/udev/link-config.ts';
import { fixtureRoot, recordingLog } from '../../fixture-root.ts';
import { contextOf } from './plain-device.ts';

const DEFAULT = '[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\nMACAddressPolicy=persistent\n';
const PROPERTIES = new Map([['ID_NET_NAME_PATH', 'enp0s3'], ['ID_NET_NAME_MAC', 'enx0200'], ['ID_PATH', 'pci-0000:00:03.0']]);

async function run(link: string, { assigned = '1', flags = '0x1003', action = 'add', cmdline = '' } = {}) {
  const log = recordingLog();
  const root = fixtureRoot({
    'sys/devices/net/eth0/uevent': 'INTERFACE=eth0\nIFINDEX=2\n', 'sys/devices/net/eth0/type': '1\n', 'sys/devices/net/eth0/address': '02:00:00:00:aa:bb\n',
    'sys/devices/net/eth0/flags': `${flags}\n`, 'sys/devices/net/eth0/name_assign_type': `${assigned}\n`, 'proc/cmdline': cmdline,
    'etc/systemd/network/10-a.link': link,
  });
  const system = openSystem({ root, log, release: '6.12.3-x', native: openFakeNative({ drivers: { eth0: 'virtio_net' } }) });
  const outcome = await netSetupLinkBuiltin().run(contextOf(system, '/devices/net/eth0', { action, properties: PROPERTIES }), ['net_setup_link']);
  return outcome && { name: outcome.get('ID_NET_NAME'), file: outcome.get('ID_NET_LINK_FILE')?.slice(root.length), log: log.lines.map((line) => line.replace(root, '')) };
}

const FILE = '/etc/systemd/network/10-a.link';
const nameFor = async (match: string) => (await run(`[Match]\n${match}\n[Link]\nName=it\n`))?.name;

/** The expectations are those of udevadm 252 (test-builtin net_setup_link), for the same files. */
describe('net_setup_link', () => {
  it('takes the first policy that has a name', async () => {
    expect(await run(DEFAULT)).toEqual({ name: 'enp0s3', file: FILE, log: [] });
    expect((await run(DEFAULT, { assigned: '4' }))?.name).toBe('eth0');
    expect((await run(DEFAULT, { assigned: '2' }))?.name).toBe('eth0');
    expect((await run(DEFAULT, { action: 'move' }))?.name).toBe('eth0');
    expect((await run(DEFAULT, { cmdline: 'net.ifnames=0' }))?.name).toBe('eth0');
    expect((await run('[Match]\nPath=pci-*\n[Link]\nNamePolicy=mac\n'))?.name).toBe('enx0200');
  });

  it('leaves loopback and unmatched interfaces alone', async () => {
    expect([(await run(DEFAULT, { flags: '0x9' }))?.file, (await run('[Match]\nOriginalName=x*\n'))?.file]).toEqual([undefined, undefined]);
  });

  it('matches as systemd.link(5) says', async () => {
    const fitting = ['OriginalName=x e*0', 'OriginalName=!x', 'MACAddress=0200.0000.aabb', 'MACAddress=02-00-00-00-AA-BB', 'Driver=virtio*', 'Type=ether',
      'Type=!loopback', 'Path=!usb-*', 'Property=ID_PATH=pci* "ID_NET_NAME_MAC=enx0200"', 'Property=!ID_PATH=usb*', 'KernelVersion=6.*', 'KernelVersion=>=5.0 <7',
      'OriginalName=x\nOriginalName=\nOriginalName=eth0'];
    const others = ['OriginalName=!e*', 'MACAddress=02:00:00:00:aa:bc', 'Driver=!virtio*', 'Type=wlan', 'Path=usb-*', 'Property=ID_PATH=usb*', 'Property=!ID_PATH=pci*',
      'KernelVersion=!6.*', 'KernelVersion=>=7', 'Kind=veth', 'Virtualization=yes'];
    expect(await Promise.all(fitting.map(nameFor))).toEqual(fitting.map(() => 'it'));
    expect(await Promise.all(others.map(nameFor))).toEqual(others.map(() => undefined));
  });

  it('ignores a file without matches, and names that are none, and says so', async () => {
    expect(await run('[Link]\nName=it\n')).toEqual({
      name: undefined, file: undefined,
      log: [`warn bad-link-file: ${FILE}: No valid settings found in the [Match] section, ignoring file. To match all interfaces, add OriginalName=*`],
    });
    expect(await run('[Match]\nOriginalName=*\n[Link]\nName=a/b\n')).toEqual({
      name: 'eth0', file: FILE, log: [`warn bad-link-file: ${FILE}:4: Interface name is not valid, ignoring assignment: a/b`],
    });
  });
});

describe('net_driver', () => {
  it('asks ethtool, and fails where that does not know', async () => {
    const root = fixtureRoot({ 'sys/devices/net/eth0/uevent': 'IFINDEX=2\n' });
    const ask = (drivers: Record<string, string>) => {
      const system = openSystem({ root, log: recordingLog(), native: openFakeNative({ drivers }) });
      return netDriverBuiltin.run(contextOf(system, '/devices/net/eth0'), ['net_driver']);
    };
    expect([await ask({ eth0: 'e1000' }), await ask({})]).toEqual([new Map([['ID_NET_DRIVER', 'e1000']]), undefined]);
  });
});

describe('parseLinkConfig', () => {
  it('joins continued lines, skips comments, keeps the last of single values', () => {
    expect(parseLinkConfig('# c\n[Match]\n; d\nOriginalName=a \\\n  b\n[Link]\nName = x\nName=y\nMTUBytes=9\nbroken\n', 'f')).toEqual({
      file: 'f', match: [{ key: 'OriginalName', values: ['a', 'b'], negated: false }], namePolicy: undefined, name: 'y', macAddressPolicy: undefined,
      macAddress: undefined, alternativeNamesPolicy: [], alternativeNames: [],
      problems: [{ line: 10, message: "Missing '=', ignoring line." }],
    });
  });
});

describe('net_setup_link of a daemon', () => {
  it('sets the address and the other names, none twice and none that the interface has', async () => {
    const root = fixtureRoot({
      'sys/devices/net/eth0/uevent': 'INTERFACE=eth0\nIFINDEX=2\n', 'sys/devices/net/eth0/address': '02:00:00:00:aa:bb\n', 'sys/devices/net/eth0/flags': '0x1003\n', 'proc/cmdline': '',
      'etc/systemd/network/10-a.link': '[Match]\nOriginalName=*\n[Link]\nNamePolicy=path\nMACAddress=02:00:00:00:00:01\nAlternativeName=b a eth0 enp0s3\nAlternativeNamesPolicy=path mac\n',
    });
    const asked = async (applies: boolean) => {
      const native = openFakeNative();
      const system = openSystem({ root, log: recordingLog(), native });
      await netSetupLinkBuiltin({ applies }).run(contextOf(system, '/devices/net/eth0', { properties: PROPERTIES }), ['net_setup_link']);
      return native.calls.filter(({ call }) => call === 'setInterfaceAddress' || call === 'addInterfaceName');
    };
    expect(await asked(false)).toEqual([]);
    expect(await asked(true)).toEqual([
      { call: 'setInterfaceAddress', ifindex: 2, address: '020000000001' },
      ...['a', 'b', 'enx0200'].map((name) => ({ call: 'addInterfaceName', ifindex: 2, name })),
    ]);
  });
});

describe('parseHardwareAddress', () => {
  it('takes six or twenty bytes in three ways of writing', () => {
    const hex = (text: string) => Buffer.from(parseHardwareAddress(text) ?? []).toString('hex');
    expect(['2:0:0:0:0:1A', '02-00-00-00-00-1a', '0200.0000.001a'].map(hex)).toEqual(Array(3).fill('02000000001a'));
    expect(hex(Array(20).fill('ff').join(':'))).toBe('ff'.repeat(20));
    expect(['', 'xx', '02:00', '02:00:00:00:00:1g', '02:00-00:00:00:00', '002:00:00:00:00:00'].map(hex)).toEqual(Array(6).fill(''));
  });
});

describe('isInterfaceName', () => {
  it('refuses what the kernel or a path could not hold', () => {
    const bad = ['', '.', '..', 'a/b', 'a b', '123', 'a:1', 'eth%d', 'all', 'default', 'x'.repeat(16), 'é'];
    expect(bad.filter(isInterfaceName)).toEqual([]);
    expect(['eth0', 'enp0s3', '0a', 'x'.repeat(15)].filter((name) => !isInterfaceName(name))).toEqual([]);
  });
});
