// udevadm info: what sysfs and the database know of devices.

import { statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, UsageError } from '../errors.ts';
import type { System } from '../system.ts';
import { cleanupDatabase } from '../udev/database-cleanup.ts';
import { isInitialised, recordOf } from '../udev/database.ts';
import { attributeObject, attributeText, attributeWalk, infoObject, infoProperties, infoRecord } from '../udev/device-info.ts';
import type { InfoDevice, InfoOptions } from '../udev/device-info.ts';
import { deviceByNode, deviceBySyspath } from '../udev/device-lookup.ts';
import { deviceId } from '../udev/device.ts';
import type { Device } from '../udev/device.ts';
import { listDevices, listSubsystems } from '../udev/sysfs-devices.ts';
import { matchesFilter } from '../udev/trigger.ts';
import { triggerCandidate } from '../udev/trigger-devices.ts';
import type { Applet, AppletContext } from './applet.ts';
import { deviceArgumentFault, deviceOfArgument, deviceOfUnit } from './device-argument.ts';
import { FILTER_OPTIONS, namedParents, parseDeviceFilter } from './device-filter.ts';
import { getopt, type OptionSpec, type ParsedOption } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { formatTree } from './udevadm-info-tree.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'query', short: 'q', argument: 'required' },
  { long: 'property', argument: 'required' },
  { long: 'value' },
  { long: 'path', short: 'p', argument: 'required' },
  { long: 'name', short: 'n', argument: 'required' },
  { long: 'root', short: 'r' },
  { long: 'attribute-walk', short: 'a' },
  { long: 'tree', short: 't' },
  { long: 'device-id-of-file', short: 'd', argument: 'required' },
  { long: 'export', short: 'x' },
  { long: 'export-prefix', short: 'P', argument: 'required' },
  { long: 'export-db', short: 'e' },
  { long: 'cleanup-db', short: 'c' },
  { long: 'wait-for-initialization', short: 'w', argument: 'optional' },
  { long: 'no-pager' },
  { long: 'json', argument: 'required' },
  // udevadm trigger has short ones as well, which mean other things here.
  ...FILTER_OPTIONS.map(({ long, argument }) => ({ long, ...(argument && { argument }) })),
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm info [OPTIONS] [DEVPATH|FILE]

Show what sysfs and udev's database know of devices.

  -q, --query=TYPE             name, symlink, path, property or all (default)
      --property=NAME          only these properties, separated by commas
      --value                  of properties only the values
  -p, --path=SYSPATH           a device by its path below /sys
  -n, --name=NAME              a device by its node, or a link to it
  -r, --root                   names with the directory of nodes
  -a, --attribute-walk         all that rules may match, of the device and its parents
  -t, --tree                   the devices as a tree
  -d, --device-id-of-file=FILE the number of the device that holds a file
  -x, --export                 properties as KEY='VALUE'
  -P, --export-prefix=PREFIX   the same, with a prefix before each key
  -e, --export-db              all devices
      --subsystem-match=SUBSYSTEM, --subsystem-nomatch=SUBSYSTEM, --attr-match=FILE[=VALUE],
      --attr-nomatch=FILE[=VALUE], --property-match=KEY=VALUE, --tag-match=TAG,
      --sysname-match=NAME, --name-match=NAME, --parent-match=NAME, --initialized-match,
      --initialized-nomatch    with -e: only devices that match, as in udevadm trigger
  -c, --cleanup-db             empty the database, but for what is marked as persistent
  -w, --wait-for-initialization[=SECONDS]
                               wait until udev has processed the device
      --no-pager               ignored, there is none
      --json=pretty|short|off  devices as JSON
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

const QUERIES = ['name', 'symlink', 'path', 'property', 'all'] as const;
type Query = (typeof QUERIES)[number];
const WAIT_STEP_MS = 50;

type Options = {
  readonly query: Query;
  readonly root: boolean;
  readonly walk: boolean;
  readonly json: 'pretty' | 'short' | undefined;
  readonly properties: readonly string[];
  readonly valuesOnly: boolean;
  /** Before each key; undefined without --export. */
  readonly prefix: string | undefined;
  readonly waitMs: number | undefined;
};

export const udevadmInfo: Applet = { name: 'info', summary: 'query what is known of devices', options: OPTIONS, run };

async function run(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options: given, operands } = getopt(argv, OPTIONS, context.program);
  const first = new Map(given.map(({ name, value }) => [name, value]));
  if (answersHelp(first, HELP, context)) return 0;
  const options = readOptions(given);
  const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
  const file = first.get('device-id-of-file');
  if (file !== undefined) return showDeviceOfFile(file, context);
  if (first.has('cleanup-db')) {
    cleanupDatabase(system);
    return 0;
  }
  // Of these the last one counts.
  const action = given.findLast(({ name }) => name === 'query' || name === 'attribute-walk' || name === 'export-db')?.name;
  if (action === 'export-db') return exportDatabase(system, given, options, context);
  const places = [
    ...given.flatMap(({ name, value }): readonly Place[] => (name === 'path' || name === 'name' ? [{ kind: name, text: value }] : [])),
    ...operands.map((text): Place => ({ kind: 'any', text })),
  ];
  if (first.has('tree')) return showTree(system, places, context);
  if (places.length === 0) throw new UsageError('A device name or path is required');
  if (options.walk && places.length > 1) throw new UsageError('Only one device may be specified with -a/--attribute-walk and -t/--tree');
  let status = 0;
  for (const place of places) status = await showPlace(system, place, options, context) || status;
  return status;
}

/** All devices that the options let pass. */
async function exportDatabase(system: System, given: readonly ParsedOption[], options: Options, context: AppletContext): Promise<number> {
  const parents: string[] = [];
  for (const { text, prefix } of namedParents(given)) {
    const device = deviceOfArgument(system, text, prefix);
    if (!device) {
      context.stderr(`Failed to open the device '${text}': ${deviceArgumentFault(text)}\n`);
      return 1;
    }
    parents.push(device.devpath);
  }
  const filter = { ...parseDeviceFilter(given), parents };
  for (const device of await listDevices(system)) {
    if (matchesFilter(triggerCandidate(system, device), filter)) showAll(system, infoOf(system, device), options, context, false);
  }
  return 0;
}

type Place = { readonly kind: 'path' | 'name' | 'any'; readonly text: string };

function readOptions(given: readonly ParsedOption[]): Options {
  const last = new Map(given.map(({ name, value }) => [name, value]));
  const query = QUERIES.find((each) => each === (last.get('query') ?? 'all'));
  if (!query) throw new UsageError('unknown query type');
  const json = last.get('json') ?? 'off';
  if (json !== 'off' && json !== 'short' && json !== 'pretty') throw new UsageError(`Unknown argument to --json= switch: ${json}`);
  const prefix = last.get('export-prefix') ?? (last.has('export') ? '' : undefined);
  if (prefix !== undefined && last.has('value')) throw new UsageError('-x/--export or -P/--export-prefix cannot be used with --value');
  const seconds = last.get('wait-for-initialization');
  if (seconds !== undefined && !/^\d*(?:\.\d+)?s?$/.test(seconds)) throw new UsageError('Failed to parse timeout value: Invalid argument');
  return {
    query, prefix, root: last.has('root'), walk: given.findLast(({ name }) => name === 'query' || name === 'attribute-walk')?.name === 'attribute-walk', valuesOnly: last.has('value'), json: json === 'off' ? undefined : json,
    properties: given.filter(({ name }) => name === 'property').flatMap(({ value }) => value.split(',').filter(Boolean)),
    waitMs: seconds === undefined ? undefined : seconds === '' ? Infinity : Number.parseFloat(seconds) * 1000,
  };
}

async function showPlace(system: System, place: Place, options: Options, context: AppletContext): Promise<number> {
  const fail = (text: string): number => {
    context.stderr(`${text}\n`);
    return 1;
  };
  const found = findPlace(system, place);
  if (typeof found === 'string') return fail(found);
  const { device, byNode } = found;
  if (options.waitMs !== undefined && !(await waitForRecord(system, device, options.waitMs))) {
    return fail('Failed to wait for device to be initialized: Connection timed out');
  }
  const info = infoOf(system, device);
  if (options.walk) {
    showWalk(device, options, context);
    return 0;
  }
  if (options.query === 'all') showAll(system, info, options, context, byNode);
  else if (options.query === 'property') showProperties(info, options, context, { dev: system.roots.dev, ueventFirst: true });
  else if (options.query === 'path') context.stdout(`${device.devpath}\n`);
  else if (options.query === 'symlink') context.stdout(`${(info.record?.links ?? []).map((link) => (options.root ? join(system.roots.dev, link) : link)).join(' ')}\n`);
  else if (device.devname === undefined) return fail('No device node found: No such file or directory');
  else context.stdout(`${options.root ? join(system.roots.dev, device.devname) : device.devname}\n`);
  return 0;
}

/** The device, or what to say. A node is found by its number, which makes udev read the kernel's properties first. */
function findPlace(system: System, { kind, text }: Place): { readonly device: Device; readonly byNode: boolean } | string {
  const { dev, sys } = system.roots;
  const isNode = kind === 'name' || (kind === 'any' && text.startsWith(`${dev}/`));
  if (kind === 'any' && !isNode && text !== sys && !text.startsWith(`${sys}/`)) {
    const unit = deviceOfUnit(system, text);
    if (unit) return { device: unit, byNode: text.startsWith('dev-') };
    const fault = deviceArgumentFault(text);
    return fault === 'Invalid argument' ? `Bad argument "${text}", expected an absolute path in /dev/ or /sys/ or a unit name: ${fault}` : `Unknown device "${text}": ${fault}`;
  }
  const absolute = isNode ? (text.startsWith('/') ? text : join(dev, text)) : text === sys || text.startsWith(`${sys}/`) ? text : join(sys, text);
  const device = isNode ? deviceByNode(system, absolute) : deviceBySyspath(system, absolute);
  return device ? { device, byNode: isNode } : `Unknown device "${absolute}": No such device`;
}

function infoOf(system: System, device: Device): InfoDevice {
  return { device, record: recordOf(system, device) };
}

function showAll(system: System, info: InfoDevice, options: Options, context: AppletContext, ueventFirst: boolean): void {
  const order: InfoOptions = { dev: system.roots.dev, ueventFirst };
  if (options.json) context.stdout(jsonText(Object.fromEntries(infoObject(info, order)), options.json));
  else context.stdout(`${infoRecord(info, order).join('\n')}\n\n`);
}

function showProperties(info: InfoDevice, { properties: wanted, valuesOnly, prefix }: Options, context: AppletContext, order: InfoOptions): void {
  for (const [key, value] of infoProperties(info, order)) {
    if (wanted.length > 0 && !wanted.includes(key)) continue;
    if (prefix !== undefined) context.stdout(`${prefix}${key}='${value}'\n`);
    else context.stdout(valuesOnly ? `${value}\n` : `${key}=${value}\n`);
  }
}

function showWalk(device: Device, { json }: Options, context: AppletContext): void {
  if (json) {
    for (const step of attributeWalk(device)) context.stdout(jsonText(attributeObject(step), json));
    return;
  }
  context.stdout(`
Udevadm info starts with the device specified by the devpath and then
walks up the chain of parent devices. It prints for every device
found, all possible attributes in the udev rules key format.
A rule to match, can be composed by the attributes of the device
and the attributes from one single parent device.
${attributeWalk(device).map(attributeText).join('')}`);
}

async function showTree(system: System, places: readonly Place[], context: AppletContext): Promise<number> {
  const found = places.map((place) => findPlace(system, place));
  const missing = found.find((each) => typeof each === 'string');
  if (missing !== undefined) {
    context.stderr(`${String(missing)}\n`);
    return 1;
  }
  const tops = found.flatMap((each) => (typeof each === 'string' ? [] : [each.device.devpath]));
  const devices = await listDevices(system);
  const shown = tops.length === 0 ? [...devices, ...listSubsystems(system)] : devices.filter(({ devpath }) => tops.some((top) => isRelative(devpath, top)));
  context.stdout(formatTree(shown.map((device) => ({
    devpath: device.devpath, lines: infoRecord(infoOf(system, device), { dev: system.roots.dev, ueventFirst: false }),
  }))));
  return 0;
}

/** Above, below, or the same. */
function isRelative(devpath: string, top: string): boolean {
  return devpath === top || devpath.startsWith(`${top}/`) || top.startsWith(`${devpath}/`);
}

function showDeviceOfFile(file: string, context: AppletContext): number {
  try {
    const { dev } = statSync(file);
    // sys/sysmacros.h.
    const value = BigInt(dev);
    context.stdout(`${((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)}:${(value & 0xffn) | ((value >> 12n) & 0xffffff00n)}\n`);
    return 0;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    context.stderr(`Failed to stat ${file}: ${codeOf(error) === 'ENOENT' ? 'No such file or directory' : codeOf(error)}\n`);
    return 1;
  }
}

async function waitForRecord(system: System, device: Device, waitMs: number): Promise<boolean> {
  const id = deviceId(device);
  if (id === undefined) return true;
  const end = system.clock.now() + waitMs;
  while (!isInitialised(system, id)) {
    if (system.clock.now() >= end) return false;
    await system.clock.sleep(WAIT_STEP_MS);
  }
  return true;
}

/** systemd's pretty form is tabs and a blank on both sides of the colon. */
function jsonText(object: Readonly<Record<string, unknown>>, form: 'pretty' | 'short'): string {
  if (form === 'short') return `${JSON.stringify(object)}\n`;
  return `${JSON.stringify(object, null, '\t').replace(/^(\t+"(?:[^"\\]|\\.)*"): /gm, '$1 : ')}\n`;
}
