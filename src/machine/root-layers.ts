// What lies between a disk or the network and a root file system: LUKS, LVM, RAID, NFS and the like, with their modules and programs.

import { OWN_ROOTS } from '../system.ts';
import type { CapturedDevice } from '../udev/umockdev.ts';

/** A name that is asked for beside the devices' own: an alias, and the module that it is in most kernels. */
export type Request = { readonly alias: string; readonly module: string; readonly why: string };

/** What an initramfs must run: one of `names`, which are looked for where programs are. */
export type Program = { readonly names: readonly string[]; readonly why: string };

export type Layer = { readonly requests: readonly Request[]; readonly programs: readonly Program[] };

const MAPPER: Request = { alias: 'dm_mod', module: 'dm_mod', why: 'device mapper' };
const LUKS: Layer = { requests: [MAPPER, { alias: 'dm_crypt', module: 'dm_crypt', why: 'encryption' }], programs: [{ names: ['cryptsetup', 'systemd-cryptsetup'], why: 'program for encryption' }] };
const LVM: Layer = { requests: [MAPPER], programs: [{ names: ['lvm'], why: 'program for LVM' }] };
const MULTIPATH: Layer = { requests: [MAPPER, { alias: 'dm_multipath', module: 'dm_multipath', why: 'multipath' }], programs: [{ names: ['multipath'], why: 'program for multipath' }] };
const MD: Layer = { requests: [{ alias: 'md_mod', module: 'md_mod', why: 'software RAID' }], programs: [{ names: ['mdadm'], why: 'program for software RAID' }] };

/** By the prefix of dm/uuid, which its program gives. */
const MAPPED: Readonly<Record<string, Layer>> = { CRYPT: LUKS, LVM, mpath: MULTIPATH };
/** Words of dracut's, systemd's and Debian's command lines. */
const COMMANDED: readonly (readonly [word: RegExp, layer: Layer])[] = [
  [/(?:^|\s)(?:(?:rd\.)?luks\.(?:uuid|name)|cryptdevice|cryptopts)=/, LUKS], [/(?:^|\s)rd\.lvm\.(?:lv|vg)=/, LVM], [/(?:^|\s)rd\.md\.uuid=/, MD],
];

/** Of `devices`, the root disk and all that it is made of, and of the command line. Each request and program once. */
export function rootLayers(devices: readonly CapturedDevice[], cmdline: string): Layer {
  const layers = [...devices.flatMap(deviceLayers), ...COMMANDED.flatMap(([word, layer]) => (word.test(cmdline) ? [layer] : []))];
  const requests = new Map(layers.flatMap((layer) => layer.requests).map((request) => [request.alias, request]));
  const programs = new Map(layers.flatMap((layer) => layer.programs).map((program) => [program.why, program]));
  return { requests: [...requests.values()], programs: [...programs.values()] };
}

function deviceLayers({ attributes }: CapturedDevice): readonly Layer[] {
  const valueOf = (name: string): string => {
    const value = attributes.get(name);
    return typeof value === 'string' ? value.trim() : '';
  };
  const uuid = valueOf('dm/uuid');
  const level = valueOf('md/level');
  const kind = /^(?:part\d+-)?([^-]+)-/.exec(uuid)?.[1] ?? '';
  return [
    ...(uuid === '' ? [] : [MAPPED[kind] ?? { requests: [MAPPER], programs: [] }]),
    ...(level === '' ? [] : [MD, { requests: [{ alias: `md-${level}`, module: /^raid[456]$/.test(level) ? 'raid456' : level, why: `software RAID ${level}` }], programs: [] }]),
  ];
}

/** What a root file system on the network needs beside an interface. */
export type NetworkRoot = Layer & { readonly name: string };

/**
 * `mounted` is what / was mounted from, with its type; undefined where neither that nor the command line is of the network.
 * Source: Documentation/admin-guide/nfs/nfsroot.rst, dracut.cmdline(7).
 */
export function networkRoot(cmdline: string, mounted: { readonly source: string; readonly type: string; readonly options: string } | undefined): NetworkRoot | undefined {
  const value = (key: string): string => new RegExp(`(?:^|\\s)${key}=(\\S+)`).exec(cmdline)?.[1] ?? '';
  const spec = value('netroot') || value('root');
  if (mounted && /^nfs4?$/.test(mounted.type)) return nfs(mounted.source, mounted.type === 'nfs4' || /(?:^|,)vers=4/.test(mounted.options) ? '4' : '3');
  if (/^nfs4?:/.test(spec)) return nfs(spec, spec.startsWith('nfs4') ? '4' : '3');
  if (spec === `${OWN_ROOTS.dev}/nfs` || value('nfsroot') !== '') return nfs(value('nfsroot') || spec, /(?:^|,)(?:nfs)?vers=4/.test(value('nfsroot')) ? '4' : '3');
  if (spec.startsWith('iscsi:')) {
    return { name: spec, requests: [{ alias: 'iscsi_tcp', module: 'iscsi_tcp', why: 'iSCSI' }], programs: [{ names: ['iscsistart', 'iscsid'], why: 'program for iSCSI' }] };
  }
  if (spec.startsWith('nbd:') || spec.startsWith(`${OWN_ROOTS.dev}/nbd`)) return { name: spec, requests: [{ alias: 'nbd', module: 'nbd', why: 'network block device' }], programs: [{ names: ['nbd-client'], why: 'program for network block devices' }] };
  return undefined;
}

function nfs(name: string, version: '3' | '4'): NetworkRoot {
  const module = `nfsv${version}`;
  return {
    name, requests: [{ alias: 'nfs', module: 'nfs', why: 'file system nfs' }, { alias: module, module, why: `NFS version ${version}` }],
    programs: [{ names: ['nfsmount', 'mount.nfs', `mount.nfs${version}`], why: 'program for NFS' }],
  };
}
