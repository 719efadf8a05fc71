// udevadm monitor: prints the kernel's events, and udev's when it has done them.

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { recordOf } from '../udev/database.ts';
import { heardJson, heardText, isHeard, parseSubsystemFilter, tagsOf } from '../udev/heard-event.ts';
import type { HeardEvent, HeardFilter } from '../udev/heard-event.ts';
import { openMonitor } from '../udev/monitor.ts';
import { openDevice } from '../udev/sysfs-device.ts';
import { openUdevMonitor } from '../udev/udev-monitor.ts';
import type { Monitor } from '../udev/uevent-socket.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'property', short: 'p' },
  { long: 'environment', short: 'e', name: 'property' },
  { long: 'kernel', short: 'k' },
  { long: 'udev', short: 'u' },
  { long: 'subsystem-match', short: 's', argument: 'required' },
  { long: 'tag-match', short: 't', argument: 'required' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm monitor [OPTIONS]

Print events as they come, until it is interrupted.

  -p, --property               with all properties
  -k, --kernel                 the kernel's
  -u, --udev                   udev's, after the rules; both without -k and -u
  -s, --subsystem-match=SUBSYSTEM[/DEVTYPE]
                               of these subsystems only
  -t, --tag-match=TAG          of devices with one of these tags only
      --json                   one JSON object a line, and nothing else
  -V, --version
  -h, --help
`;

export const udevadmMonitor: Applet = {
  name: 'monitor',
  summary: 'Listen to kernel and udev events',
  options: OPTIONS,
  async run(argv, context) {
    const { options } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const all = (long: string): string[] => options.filter(({ name }) => name === long).map(({ value }) => value);
    const both = !given.has('kernel') && !given.has('udev');
    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    try {
      await listen(system, context, {
        kernel: both || given.has('kernel'), udev: both || given.has('udev'), json: given.has('json'), withProperties: given.has('property'),
        filter: { subsystems: all('subsystem-match').map(parseSubsystemFilter), tags: all('tag-match') },
      });
      return 0;
    } catch (error) {
      context.stderr(`${context.program}: ${messageOf(error)}\n`);
      return 1;
    }
  },
};

type Listening = {
  readonly kernel: boolean; readonly udev: boolean; readonly json: boolean; readonly withProperties: boolean; readonly filter: HeardFilter;
};

/** Resolves when it is interrupted; rejects when a socket fails. */
async function listen(system: System, context: AppletContext, { kernel, udev, json, withProperties, filter }: Listening): Promise<void> {
  const monitors: Monitor[] = [];
  let restore = (): void => undefined;
  // Before the sockets: a signal that comes now ends it well, too.
  const ended = new Promise<void>((resolve) => {
    restore = context.signals({ SIGINT: resolve, SIGTERM: resolve });
  });
  let onError = (_error: Error): void => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    onError = reject;
  });
  const show = (event: HeardEvent, tags: () => Iterable<string>): void => {
    if (isHeard(event, filter, tags)) context.stdout(json ? heardJson(event) : heardText(event, withProperties));
  };
  const onLost = (): void => context.stderr(`${context.program}: events came faster than they were printed: some are missing here\n`);
  try {
    if (!json) context.stdout(heading(kernel, udev));
    if (udev) {
      monitors.push(await openUdevMonitor(system, {
        onMessage: (properties) => show({ source: 'udev', time: system.clock.now(), properties }, () => tagsOf(properties.get('TAGS'))),
        onLost, onError,
      }));
    }
    if (kernel) {
      monitors.push(await openMonitor(system, {
        onEvent: ({ devpath, properties }) => {
          show({ source: 'kernel', time: system.clock.now(), properties: withDevname(system, properties) }, () => storedTags(system, devpath, properties));
        },
        onLost, onError,
      }));
    }
    await Promise.race([ended, failed]);
  } finally {
    restore();
    for (const monitor of monitors) await monitor.close();
  }
}

function heading(kernel: boolean, udev: boolean): string {
  return `monitor will print the received events for:
${udev ? 'UDEV - the event which udev sends out after rule processing\n' : ''}${kernel ? 'KERNEL - the kernel uevent\n' : ''}
`;
}

/** The kernel writes the name below /dev; udevadm shows the path. */
function withDevname({ roots: { dev } }: System, properties: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const name = properties.get('DEVNAME');
  return name === undefined || name.startsWith('/') ? properties : new Map(properties).set('DEVNAME', `${dev}/${name}`);
}

function storedTags(system: System, devpath: string, properties: ReadonlyMap<string, string>): Iterable<string> {
  const device = openDevice(system, devpath, properties);
  return (device && recordOf(system, device))?.tags ?? [];
}
