// kmod: all tools of kmod by one name, and two of its own: list and static-nodes.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { formatStaticNode, parseStaticNodes, STATIC_NODE_FORMATS, type StaticNodeFormat } from '../kmod/static-nodes.ts';
import { errnoByName, errnoText } from '../system.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext, Subcommand } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { kmodList, lsmod } from './lsmod.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { helpFor } from './standard-options.ts';

/** A tool by its name (`modprobe`), or undefined: the table is the command line's. */
export type FindTool = (name: string) => Subcommand | undefined;

const OPTIONS: readonly OptionSpec[] = [{ long: 'help', short: 'h' }, { long: 'version', short: 'V' }];

const STATIC_NODES_OPTIONS: readonly OptionSpec[] = [
  MODULES_OPTION,
  { long: 'format', short: 'f', argument: 'required' },
  { long: 'output', short: 'o', argument: 'required' },
  { long: 'json' },
  { long: 'help', short: 'h' },
];

/** The tools that can be called through this one. */
const TOOLS = ['lsmod', 'rmmod', 'insmod', 'modinfo', 'modprobe', 'depmod'];

const HELP = `Usage: kmod [OPTION]... COMMAND [ARGUMENT]...
Manage kernel modules.

  -V, --version
  -h, --help

Commands:
  help          this text
  list          list the modules that are in the kernel
  static-nodes  print the device nodes that exist before their driver does
  ${TOOLS.join(', ')}
                the tool of that name
`;

const STATIC_NODES_HELP = `Usage: kmod static-nodes [OPTION]...
Print the device nodes that load a module when they are opened, of this kernel.

  -f, --format=FORMAT  human: for people (default)
                       tmpfiles: for systemd-tmpfiles, tmpfiles.d(5)
                       devname: as modules.devname has them
  -o, --output=FILE    write to FILE
      --modules=PATH   modules are in PATH: an image, or a directory; repeated,
                       later ones are laid over earlier ones
      --json           one JSON object a node and line (docs/json.md)
  -h, --help
`;

const OWN_COMMANDS: readonly Subcommand[] = [
  { name: 'list', summary: 'list the modules that are in the kernel', load: async () => ({ ...lsmod, run: kmodList }) },
  {
    name: 'static-nodes', summary: 'print the device nodes that exist before their driver does',
    load: async () => ({ name: 'static-nodes', summary: 'print the device nodes that exist before their driver does', options: STATIC_NODES_OPTIONS, run: staticNodes }),
  },
];

/** The applet; `findTool` gives it the other tools. */
export function kmodApplet(findTool: FindTool): Applet {
  return {
    name: 'kmod',
    summary: 'all tools of kmod by one name',
    options: OPTIONS,
    subcommands: [...OWN_COMMANDS, ...TOOLS.flatMap((name) => findTool(name) ?? [])],
    run: (argv, context) => run(argv, context, findTool),
  };
}

async function run(argv: readonly string[], context: AppletContext, findTool: FindTool): Promise<number> {
  const { options, operands: [command, ...rest] } = getopt(argv, OPTIONS, context.program, { stopAtOperand: true });
  if (options[0]?.name === 'help') return say(helpFor(HELP, context), context);
  if (options[0]?.name === 'version') return say(`tsmodprobe ${VERSION}\n`, context);
  switch (command) {
    case undefined:
      context.stderr('missing command\n');
      break;
    case 'help':
      return say(helpFor(HELP, context), context);
    default: {
      const own = OWN_COMMANDS.find(({ name }) => name === command);
      if (own) return (await own.load()).run(rest, context);
      const tool = TOOLS.includes(command) ? findTool(command) : undefined;
      if (tool) return (await tool.load()).run(rest, { ...context, program: command });
      context.stderr(`invalid command '${command}'\n`);
    }
  }
  context.stdout(HELP);
  return 1;
}

function say(text: string, context: AppletContext): number {
  context.stdout(text);
  return 0;
}

async function staticNodes(argv: readonly string[], context: AppletContext): Promise<number> {
  const { options } = getopt(argv, STATIC_NODES_OPTIONS, 'static-nodes', { stopAtOperand: true });
  const given = new Map(options.map(({ name, value }) => [name, value]));
  if (given.has('help')) return say(helpFor(STATIC_NODES_HELP, context), context);
  const wanted = given.get('format') ?? 'human';
  const format = STATIC_NODE_FORMATS.find((name) => name === wanted);
  if (format === undefined) {
    context.stderr(`Unknown format: '${wanted}'.\n`);
    context.stdout(STATIC_NODES_HELP);
    return 1;
  }
  const system = context.openSystem({});
  return printStaticNodes(await modulesAt(system, modulesIn(options), context.program), context, { format, output: given.get('output'), json: given.has('json') });
}

type StaticNodesRequest = { readonly format: StaticNodeFormat; readonly output: string | undefined; readonly json: boolean };

function printStaticNodes(source: ModuleSource, context: AppletContext, { format, output, json }: StaticNodesRequest): number {
  const file = source.resolve('modules.devname');
  let bytes: Uint8Array | undefined;
  try {
    bytes = source.readIndex('modules.devname');
  } catch (error) {
    context.stderr(`Error: could not open ${file} - ${reasonOf(error)}\n`);
    return 1;
  }
  if (bytes === undefined) {
    context.stderr(`Warning: ${file} not found - ignoring\n`);
    return 0;
  }
  const { nodes, bad } = parseStaticNodes(Buffer.from(bytes).toString('utf8'));
  for (const line of bad) context.stderr(`Error: invalid devname entry: ${line}`);
  const text = nodes.map((node) => (json ? jsonLine('static-node', node) : formatStaticNode(node, format))).join('');
  if (output === undefined) context.stdout(text);
  else if (!write(output, text, context)) return 1;
  return bad.length > 0 ? 1 : 0;
}

function write(output: string, text: string, context: AppletContext): boolean {
  try {
    mkdirSync(dirname(output), { recursive: true, mode: 0o755 });
  } catch (error) {
    context.stderr(`Error: could not create parent directory for ${output} - ${reasonOf(error)}.\n`);
    return false;
  }
  try {
    writeFileSync(output, text);
    return true;
  } catch (error) {
    context.stderr(`Error: could not create ${output} - ${reasonOf(error)}\n`);
    return false;
  }
}

/** The C library's text, as kmod has it. */
function reasonOf(error: unknown): string {
  const errno = errnoByName(codeOf(error) ?? '');
  return errno === undefined ? messageOf(error) : errnoText(errno);
}
