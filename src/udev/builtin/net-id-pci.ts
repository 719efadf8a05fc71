// Names of network interfaces on PCI: by the firmware's index, by hotplug slot, by path; and of those on USB and BCMA behind PCI.

import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';

import { codeOf } from '../../errors.ts';
import type { Device } from '../device.ts';
import { skipVirtio } from './net-id-bus.ts';
import { ARPHRD_INFINIBAND, integer } from './net-id.ts';
import type { NetLink, NetNames } from './net-id.ts';
import { NET_SCHEME_SINCE } from './net-scheme.ts';

/** What firmware numbers beyond these is no index but an address or a default. Since v249, and before. */
const ONBOARD_INDEX_MAX = 0xffff;
const ONBOARD_INDEX_MAX_OLD = 16 * 1024 - 1;

/** linux/pci_regs.h. */
const PCI_HEADER_TYPE = 0x0e;
const PCI_HEADER_TYPE_MFD = 0x80;

/** An interface whose parent, virtio aside, is a PCI device. */
export function pciNames(link: NetLink): NetNames | undefined {
  const pci = skipVirtio(link.device.parent);
  if (pci?.subsystem !== 'pci') return undefined;
  const physical = link.scheme.version >= NET_SCHEME_SINCE.virtualFunctions ? physicalFunction(link, pci) : undefined;
  if (!physical) return { ...onboardNames(link, pci), ...slotNames(link, pci) };
  const names = { ...onboardNames(link, physical.pci), ...slotNames(link, physical.pci) };
  const suffix = `v${physical.number}`;
  const suffixed: { -readonly [Name in keyof NetNames]: string } = {};
  if (names.onboard !== undefined) suffixed.onboard = names.onboard + suffix;
  if (names.path !== undefined) suffixed.path = names.path + suffix;
  if (names.slot !== undefined) suffixed.slot = names.slot + suffix;
  return suffixed;
}

/** An interface of a USB device below a PCI controller: the controller's names and the chain of ports. */
export function usbNames(link: NetLink): NetNames | undefined {
  const usb = ancestor(link.device, 'usb', 'usb_interface');
  const match = /^[^-]*-([^:]*):([^.]*)\.(.*)$/.exec(usb?.sysname ?? '');
  if (!match) return undefined;
  const [, ports = '', configuration = '', number = ''] = match;
  const suffix = `u${ports.replaceAll('.', 'u')}${configuration === '1' ? '' : `c${configuration}`}${number === '0' ? '' : `i${number}`}`;
  return behindPci(link, suffix);
}

/** A core of a Broadcom chip; the first one adds nothing. */
export function bcmaNames(link: NetLink): NetNames | undefined {
  const core = /^bcma[0-9]+:([0-9]+)/.exec(ancestor(link.device, 'bcma')?.sysname ?? '')?.[1];
  if (core === undefined) return undefined;
  return behindPci(link, Number(core) > 0 ? `b${Number(core)}` : '');
}

function behindPci(link: NetLink, suffix: string): NetNames | undefined {
  const pci = ancestor(link.device, 'pci');
  if (!pci) return undefined;
  const { path, slot } = slotNames(link, pci);
  return { ...(path === undefined ? {} : { path: path + suffix }), ...(slot === undefined ? {} : { slot: slot + suffix }) };
}

function ancestor(device: Device, subsystem: string, devtype?: string): Device | undefined {
  let above = device.parent;
  while (above && !(above.subsystem === subsystem && (devtype === undefined || above.devtype === devtype))) above = above.parent;
  return above;
}

/** The device that a virtual function (SR-IOV) is of, and its number there. */
function physicalFunction({ context }: NetLink, pci: Device): { readonly pci: Device; readonly number: string } | undefined {
  const target = linkTarget(join(pci.syspath, 'physfn'));
  const physical = target === undefined ? undefined : context.findDevice?.(`+pci:${target}`);
  if (!physical) return undefined;
  for (const name of entriesOf(physical.syspath)) {
    const number = name.startsWith('virtfn') ? name.slice('virtfn'.length) : '';
    if (number !== '' && linkTarget(join(physical.syspath, name)) === pci.sysname) return { pci: physical, number };
  }
  return undefined;
}

/** ACPI _DSM, or SMBIOS type 41. */
function onboardNames(link: NetLink, pci: Device): NetNames {
  const { scheme } = link;
  const index = integer(pci.attribute('acpi_index') ?? pci.attribute('index'), 0);
  if (index === undefined) return {};
  if (index === 0 && scheme.version < NET_SCHEME_SINCE.zeroAcpiIndex) return {};
  const maximum = scheme.version >= NET_SCHEME_SINCE.index16Bit ? ONBOARD_INDEX_MAX : ONBOARD_INDEX_MAX_OLD;
  if (index > maximum) return {};
  const label = pci.attribute('label');
  return { onboard: `o${index}${portSuffix(link, devPort(link))}`, ...(label === undefined ? {} : { label }) };
}

/** The path, and the slot where there is one: domain, bus, slot, function, port. */
function slotNames(link: NetLink, pci: Device): NetNames {
  const address = /^([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)\.([0-9]+)$/i.exec(pci.sysname);
  if (!address) return {};
  const [domain = 0, bus = 0, slot = 0] = address.slice(1, 4).map((field) => Number.parseInt(field, 16));
  let fn = Number(address[4]);
  // With ARI the five bits of the slot are the upper bits of the function.
  const hasAri = link.scheme.version >= NET_SCHEME_SINCE.alternativeRoutingId && integer(pci.attribute('ari_enabled')) === 1;
  if (hasAri) fn += slot * 8;
  let port = devPort(link);
  // Kernels before 4.17 told the port of InfiniBand in dev_id, though they had dev_port.
  const isInDevId = port === 0 && link.type === ARPHRD_INFINIBAND && link.device.attribute('dev_port') !== undefined;
  if (isInDevId) port = integer(link.device.attribute('dev_id'), 16) ?? 0;
  const isMultifunction = hasManyFunctions(pci);
  const start = domain > 0 ? `P${domain}` : '';
  const end = `${fn > 0 || isMultifunction ? `f${fn}` : ''}${portSuffix(link, port)}`;
  const path = `${start}p${bus}s${slot}${end}`;
  const hotplug = hotplugSlot(link, pci, isMultifunction);
  if (!hotplug) return { path };
  // A slot that is named by function is unique over all domains.
  return { path, slot: `${hotplug.hasDomain ? start : ''}s${hotplug.number}${end}` };
}

function devPort({ device }: NetLink): number {
  return integer(device.attribute('dev_port')) ?? 0;
}

function portSuffix({ portName }: NetLink, port: number): string {
  if (portName !== '') return `n${portName}`;
  return port > 0 ? `d${port}` : '';
}

type HotplugSlot = { readonly number: number; readonly hasDomain: boolean };

/**
 * The number of the slot (ACPI _SUN) that the device or the nearest bridge above it is in: /sys/bus/pci/slots/N/address is the start
 * of the device's name.
 */
function hotplugSlot({ context, scheme }: NetLink, pci: Device, isMultifunction: boolean): HotplugSlot | undefined {
  const slots = join(context.system.roots.sys, 'bus/pci/slots');
  const numbers = entriesOf(slots);
  if (numbers.length === 0) return undefined;
  const addresses = numbers.filter((name) => (integer(name, 0) ?? 0) > 0)
    .map((name) => ({ slot: integer(name, 0) ?? 0, address: textOf(join(slots, name, 'address')) }));
  for (let device: Device | undefined = pci; device; device = ancestor(device, 'pci')) {
    const functionId = scheme.version >= NET_SCHEME_SINCE.slotOfFunctionId ? device.attribute('function_id') : undefined;
    // On s390 the slot is named by this, and by nothing else.
    if (functionId !== undefined) return slotOfFunction(slots, integer(functionId, 0));
    const { sysname } = device;
    const found = addresses.find(({ address }) => address !== '' && sysname.startsWith(address));
    if (!found) continue;
    // Several devices behind a bridge would get one name.
    if (scheme.version >= NET_SCHEME_SINCE.noBridgeSlot && isBridge(device)) {
      if (scheme.version < NET_SCHEME_SINCE.bridgeSlotOfMultifunction || !isMultifunction) return undefined;
    }
    return { number: found.slot, hasDomain: true };
  }
  return undefined;
}

function slotOfFunction(slots: string, id: number | undefined): HotplugSlot | undefined {
  if (id === undefined || id === 0 || !existsSync(join(slots, id.toString(16).padStart(8, '0')))) return undefined;
  return { number: id, hasDomain: false };
}

/** By its class: base class 06, subclass 04. */
function isBridge(pci: Device): boolean {
  return /^pci:.*bc06sc04/.test(pci.attribute('modalias') ?? '');
}

function hasManyFunctions(pci: Device): boolean {
  const header = Buffer.alloc(64);
  try {
    const fd = openSync(join(pci.syspath, 'config'), 'r');
    try {
      readSync(fd, header, 0, header.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
  return ((header[PCI_HEADER_TYPE] ?? 0) & PCI_HEADER_TYPE_MFD) !== 0;
}

/** The base name of what a link leads to. */
function linkTarget(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n', 1)[0] ?? '';
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return '';
  }
}
