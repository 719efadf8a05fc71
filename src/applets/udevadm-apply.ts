// udevadm apply: does all that an event of a device asks for, as the daemon would, without one.

import { messageOf, UsageError } from '../errors.ts';
import { openKmod } from '../kmod/kmod.ts';
import type { System } from '../system.ts';
import { applyDevice } from '../udev/apply-device.ts';
import type { Device } from '../udev/device.ts';
import { openModuleRequests } from '../udev/module-requests.ts';
import { openRuleStore } from '../udev/rule-store.ts';
import type { Applet, AppletContext } from './applet.ts';
import { defaultRulesDirectory } from './default-rules.ts';
import { deviceArgumentFault, deviceOfArgument } from './device-argument.ts';
import { EVENT_OPTIONS, eventOptionsOf } from './event-options.ts';
import type { EventOptions } from './event-options.ts';
import { eventObject, eventText } from './event-text.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { logLevelOf, stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  ...EVENT_OPTIONS,
  { long: 'no-broadcast' },
  { long: 'quiet', short: 'q' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `udevadm apply [OPTIONS] DEVICE...

Do what an event of each DEVICE (a path below /sys, or a node) asks for, one after the other, as
the daemon would: rules, names of interfaces, node, links, database, programs of RUN, modules,
and the message to listeners. No daemon is needed. Many may run at once: those for one device
wait for each other. Prints the properties, as udevadm test does.

  -a, --action=ACTION       the event: add (default), change, remove, ...; "help" lists them
  -N, --resolve-names=WHEN  look users and groups up "early" (default), "late" or "never"
      --no-broadcast        tell no listeners
  -q, --quiet               print no properties
      --json                print an object for each device
  -V, --version
  -h, --help

Exit status: 0 on success, 1 where there is no such device or a program of RUN failed.
`;

export const udevadmApply: Applet = {
  name: 'apply',
  summary: 'Do all that an event asks for, without a daemon',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const event = eventOptionsOf(given, context);
    if (!event) return 0;
    if (operands.length === 0) throw new UsageError(`${context.program}: syspath parameter missing.`);
    const level = logLevelOf(context.env['SYSTEMD_LOG_LEVEL'] ?? '') ?? 'warn';
    const system = context.openSystem({ log: stderrLog({ program: context.program, level, write: (line) => context.stderr(line) }) });
    const devices: Device[] = [];
    for (const path of operands) {
      const device = deviceOfArgument(system, path, 'sys');
      if (device) devices.push(device);
      else context.stderr(`${context.program}: Failed to open device '${path}': ${deviceArgumentFault(path)}\n`);
    }
    const show = given.has('json') ? 'json' : given.has('quiet') ? 'nothing' : 'text';
    const isDone = await applyAll(system, devices, { ...event, broadcast: !given.has('no-broadcast'), show }, context);
    return isDone && devices.length === operands.length ? 0 : 1;
  },
};

type Applying = EventOptions & {
  readonly broadcast: boolean;
  readonly show: 'text' | 'json' | 'nothing';
};

/** False where one failed. */
async function applyAll(system: System, devices: readonly Device[], applying: Applying, { program, stdout, stderr, signals }: AppletContext): Promise<boolean> {
  const { action, resolveNames, broadcast, show } = applying;
  const defaultDirectory = defaultRulesDirectory();
  const { rules } = await openRuleStore(system, { resolveNames, ...(defaultDirectory === undefined ? {} : { defaultDirectory }) });
  const kmod = openKmod(system);
  const requests = openModuleRequests(system, kmod);
  const stop = new AbortController();
  const restore = signals({ SIGINT: () => stop.abort(), SIGTERM: () => stop.abort() });
  let isDone = true;
  try {
    for (const device of devices) {
      const { syspath } = device;
      try {
        const { result, properties, failures } = await applyDevice(system, device, { action, rules, requests, broadcast, signal: stop.signal });
        if (show === 'json') stdout(`${JSON.stringify(eventObject({ syspath, action, result, properties }))}\n`);
        else if (show === 'text') stdout(eventText(properties, result.run));
        if (failures.length > 0) isDone = false;
      } catch (error) {
        isDone = false;
        stderr(`${program}: ${stop.signal.aborted ? `interrupted at ${syspath}` : messageOf(error)}\n`);
        if (stop.signal.aborted) return false;
      }
    }
  } finally {
    restore();
    await requests.idle();
    await kmod.close();
  }
  return isDone;
}
