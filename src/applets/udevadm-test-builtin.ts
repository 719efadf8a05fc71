// udevadm test-builtin: runs one builtin for one device and prints the properties that it would set.

import { UsageError } from '../errors.ts';
import { BUILTINS, openBuiltins } from '../udev/builtin/table.ts';
import { deviceById } from '../udev/device-lookup.ts';
import { splitCommand } from '../udev/program-words.ts';
import { ACTIONS } from '../udev/synthetic.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { deviceOfArgument } from './device-argument.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { stderrLog } from './log.ts';
import { helpFor } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
  { long: 'action', short: 'a', argument: 'required' },
];

const HELP = `udevadm test-builtin [OPTIONS] COMMAND DEVPATH

Test a built-in command.

  -h --help               Print this message
  -V --version            Print version of the program

  -a --action=ACTION|help Set action string

Commands:
${BUILTINS.map(({ name, help }) => `  ${name.padEnd(14)}  ${help}\n`).join('')}`;

export const udevadmTestBuiltin: Applet = {
  name: 'test-builtin',
  summary: 'Test a built-in command',
  options: OPTIONS,
  run: (argv, context) => testBuiltin(argv, context),
};

async function testBuiltin(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options, operands } = getopt(argv, OPTIONS, context.program);
  let action = 'add';
  for (const { name, value } of options) {
    if (name === 'help') return print(context, helpFor(HELP, context));
    if (name === 'version') return print(context, `tsmodprobe ${VERSION}\n`);
    if (value === 'help') return print(context, ACTIONS.map((known) => `${known}\n`).join(''));
    if (!ACTIONS.includes(value)) throw new UsageError(`Invalid action '${value}'`);
    action = value;
  }
  const [command, path] = operands;
  if (command === undefined || path === undefined || operands.length > 2) {
    throw new UsageError('Expected two arguments: command string and device path.');
  }
  const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'debug', write: (text) => context.stderr(text) }) });
  const words = splitCommand(command);
  const builtin = openBuiltins(system)(words[0] ?? '');
  if (!builtin) {
    context.stderr(`Unknown command '${command}'\n`);
    return 1;
  }
  const device = deviceOfArgument(system, path, 'sys');
  if (!device) {
    context.stderr(`Failed to open device '${path}': No such device\n`);
    return 1;
  }
  const outcome = await builtin.run({ system, device, action, properties: device.properties, findDevice: (id) => deviceById(system, id) }, words);
  if (!outcome) {
    context.stderr(`Builtin command '${builtin.name}' fails.\n`);
    return 1;
  }
  return print(context, [...outcome].map(([key, value]) => `${key}=${value}\n`).join(''));
}

function print(context: AppletContext, text: string): number {
  context.stdout(text);
  return 0;
}
