// udevadm lock: runs a command while udev leaves the named disks alone.

import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { resolve } from 'node:path';

import { codeOf, messageOf, UsageError } from '../errors.ts';
import { errnoByName, errnoText } from '../system.ts';
import type { System } from '../system.ts';
import { holdDisks, wholeDisk } from '../udev/hold-disk.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec, type ParsedOption } from './getopt.ts';
import { stderrLog } from './log.ts';
import { answersHelp } from './standard-options.ts';
import { parseTimeSpan } from './time-span.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'device', short: 'd', argument: 'required' },
  { long: 'backing', short: 'b', argument: 'required' },
  { long: 'timeout', short: 't', argument: 'required' },
  { long: 'print', short: 'p' },
  { long: 'help', short: 'h' },
  { long: 'version', short: 'V' },
];

const HELP = `udevadm lock [OPTIONS] COMMAND...
udevadm lock [OPTIONS] --print

Run a command while udev leaves disks alone: it holds an exclusive lock of each whole disk.

  -d, --device=DEVICE  a disk, by its node or that of a partition
  -b, --backing=FILE   the disk that holds this file
  -t, --timeout=SEC    wait at most so long for the locks; for ever without it
  -p, --print          only print which nodes would be locked
  -V, --version
  -h, --help

Exit status: that of the command; 1 where it was not run, or a signal ended it.
`;

export const udevadmLock: Applet = {
  name: 'lock',
  summary: 'Lock a block device',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program, { stopAtOperand: true });
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    const timeoutMs = timeoutOf(given.get('timeout'));
    const [command, ...args] = operands;
    if (given.has('print') && command !== undefined) throw new UsageError('No arguments expected.');
    if (!given.has('print') && command === undefined) throw new UsageError('Too few arguments, command to execute.');
    const system = context.openSystem({ log: stderrLog({ program: context.program, level: 'warn', write: (line) => context.stderr(line) }) });
    const nodes = nodesOf(system, options);
    if (nodes.length === 0) throw new UsageError('No devices to lock specified, refusing.');
    if (command === undefined) {
      context.stdout(nodes.map((node) => `${node}\n`).join(''));
      return 0;
    }
    try {
      const held = await hold(system, nodes, timeoutMs, context);
      if (!held) return 1;
      try {
        return await runCommand(command, args, context);
      } finally {
        for (const fd of held) closeSync(fd);
      }
    } catch (error) {
      context.stderr(`${messageOf(error)}\n`);
      return 1;
    }
  },
};

function timeoutOf(text: string | undefined): number {
  const ms = text === undefined ? Infinity : parseTimeSpan(text);
  if (ms === undefined) throw new UsageError(`Failed to parse --timeout= parameter: ${text}`);
  return ms;
}

/** Each once and in one order, so that two who lock the same disks never wait for each other. */
function nodesOf(system: System, options: readonly ParsedOption[]): readonly string[] {
  const nodes = new Set<string>();
  for (const { name, value } of options) {
    if (name !== 'device' && name !== 'backing') continue;
    const path = resolve(value);
    const disk = wholeDisk(system, path, { backing: name === 'backing' });
    if ('fault' in disk) throw new UsageError(`Failed to find whole block device for '${path}': ${errnoText(errnoByName(disk.fault) ?? 0)}`);
    nodes.add(disk.node);
  }
  return [...nodes].sort();
}

async function hold(system: System, nodes: readonly string[], timeoutMs: number, { stderr, signals }: AppletContext): Promise<readonly number[] | undefined> {
  const stop = new AbortController();
  const restore = signals({ SIGINT: () => stop.abort(), SIGTERM: () => stop.abort() });
  try {
    const held = await holdDisks(system, nodes, { timeoutMs, signal: stop.signal, onWait: (node, leftMs) => stderr(waitText(node, leftMs)) });
    if (!held && timeoutMs > 0) stderr('Timeout reached.\n');
    return held;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return undefined;
  } finally {
    restore();
  }
}

function waitText(node: string, leftMs: number): string {
  const text = `Device '${node}' is currently locked`;
  if (leftMs === 0) return `${text}.\n`;
  return leftMs === Infinity ? `${text}, waiting…\n` : `${text}, waiting ${(leftMs / 1000).toFixed(1)}s…\n`;
}

/** What stops us is for the command, too: the lock stays until that has ended. */
async function runCommand(command: string, args: readonly string[], { stderr, signals }: AppletContext): Promise<number> {
  const child = spawn(command, [...args], { stdio: 'inherit' });
  // A terminal has sent its SIGINT to the command as well.
  const restore = signals({ SIGINT: () => undefined, SIGTERM: () => void child.kill('SIGTERM'), SIGHUP: () => void child.kill('SIGHUP') });
  try {
    return await new Promise<number>((finish, fail) => {
      child.once('error', fail);
      child.once('close', (code) => finish(code ?? 1));
    });
  } catch (error) {
    const errno = errnoByName(codeOf(error) ?? '');
    stderr(`Failed to execute ${command}: ${errno === undefined ? messageOf(error) : errnoText(errno)}\n`);
    return 1;
  } finally {
    restore();
  }
}
