// A host for rules without a machine: everything that rules can ask is plain data, everything that they do is kept.

import { openSystem } from '../../../src/system.ts';
import type { System } from '../../../src/system.ts';
import { dataDevices } from '../../../src/udev/data-device.ts';
import type { DeviceData } from '../../../src/udev/data-device.ts';
import type { Builtin } from '../../../src/udev/builtin/builtin.ts';
import type { Device } from '../../../src/udev/device.ts';
import type { DeviceRecord } from '../../../src/udev/record.ts';
import type { RulesHost } from '../../../src/udev/rules/host.ts';
import { recordingLog } from '../../fixture-root.ts';

export type Machine = {
  readonly devices?: readonly DeviceData[];
  readonly files?: Readonly<Record<string, string>>;
  /** By command: what it prints with status 0, or another status. */
  readonly programs?: Readonly<Record<string, string | number>>;
  readonly builtins?: readonly Builtin[];
  readonly records?: Readonly<Record<string, DeviceRecord>>;
  readonly cmdline?: string;
  readonly globals?: Readonly<Record<string, string>>;
};

export type FakeHost = RulesHost & { readonly device: (devpath: string) => Device; readonly did: readonly string[]; readonly said: readonly string[] };

const DISK: DeviceData = {
  devpath: '/devices/pci0000:00/0000:00:02.0/virtio1/block/vda', subsystem: 'block',
  properties: { MAJOR: '254', MINOR: '0', DEVNAME: 'vda', DEVTYPE: 'disk' },
  attributes: { size: '4096', ro: '0', serial: 'a b/c?é ', 'queue/rotational': '1' },
};

/** A disk behind a PCI bridge, and an interface. */
export const DEVICES: readonly DeviceData[] = [
  { devpath: '/devices/pci0000:00' },
  { devpath: '/devices/pci0000:00/0000:00:02.0', subsystem: 'pci', driver: 'virtio-pci', properties: { PCI_ID: '1AF4:1042' }, attributes: { vendor: '0x1af4', class: '0x018000' } },
  { devpath: '/devices/pci0000:00/0000:00:02.0/virtio1', subsystem: 'virtio', driver: 'virtio_blk', attributes: { vendor: '0x1af4', status: '0x0000000f' } },
  DISK,
  { devpath: '/devices/virtual/net/lo', subsystem: 'net', properties: { INTERFACE: 'lo', IFINDEX: '1' }, attributes: { mtu: '65536' } },
];

export const VDA = DISK.devpath;
export const LO = '/devices/virtual/net/lo';

export function fakeHost({ devices = DEVICES, files = {}, programs = {}, builtins = [], records = {}, cmdline = '', globals = {} }: Machine = {}): FakeHost {
  const log = recordingLog();
  const system: System = openSystem({ root: '/nowhere', log });
  const roots = { sys: '/sys', dev: '/dev' };
  const all = dataDevices(devices, roots);
  const did: string[] = [];
  const device = (devpath: string): Device => {
    const found = all.get(devpath);
    if (!found) throw new Error(`no ${devpath}`);
    return found;
  };
  return {
    system, roots, log, device, did, said: log.lines,
    globals: new Map(Object.entries(globals)),
    runProgram(command, environment) {
      did.push(`ran ${command}`);
      const answer = command === 'env' ? [...environment].map(([key, value]) => `${key}=${value}`).join(' ') : programs[command] ?? 1;
      const result = typeof answer === 'string' ? { status: 0, stdout: answer, truncated: false } : { status: answer, stdout: '', truncated: false };
      return Promise.resolve(result);
    },
    builtin: (name) => builtins.find((builtin) => builtin.name === name),
    deviceOf: () => undefined,
    lookup: (subsystem, sysname) => [...all.values()].find((each) => each.subsystem === subsystem && each.sysname === sysname),
    record: ({ devpath }) => records[devpath],
    userId: (name) => ({ root: 0, daemon: 1 })[name],
    groupId: (name) => ({ root: 0, disk: 6 })[name],
    cmdline: () => cmdline,
    constant: (name) => ({ arch: 'x86-64', virt: 'kvm' })[name],
    readText: (path) => files[path],
    modeOf: (path) => (path in files ? 0o100644 : Object.keys(files).some((file) => file.startsWith(`${path}/`)) ? 0o040755 : undefined),
    namesIn: (path) => [...new Set(Object.keys(files).filter((file) => file.startsWith(`${path}/`)).map((file) => file.slice(path.length + 1).split('/')[0] ?? ''))],
    readSysctl: (name) => files[`sysctl ${name}`],
    writeAttribute(path, value) {
      did.push(`wrote ${path} ${value}`);
      return undefined;
    },
    writeSysctl(name, value) {
      did.push(`sysctl ${name} ${value}`);
      return undefined;
    },
  };
}
