// tskmod vm: boots a real kernel in QEMU with our Node and module tree, runs a command in it, and exits with its exit code.

import { appendFileSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { messageOf, UsageError } from '../errors.ts';
import { MACHINE_PRESETS, type MachinePreset } from '../vm/qemu.ts';
import { guestShell } from '../vm/guest-init.ts';
import { formatGuestTask, parseGuestTasks } from '../vm/guest-tasks.ts';
import { runVm, type GuestDisk, type GuestFile, type HostShare, type VmOptions, type VmResult } from '../vm/vm.ts';
import type { Applet, Signal, TerminalInput } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { helpFor } from './standard-options.ts';

/** What this applet prints with, and what ends it. */
export type VmAppletIo = {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly isTty: boolean;
  /** Where --shell is typed at. */
  readonly terminal?: TerminalInput | undefined;
  readonly term?: string | undefined;
  /** Ends the guest. */
  readonly signal?: AbortSignal | undefined;
};

const OPTIONS: readonly OptionSpec[] = [
  ...['kernel', 'modules', 'machine', 'memory', 'smp', 'device', 'file', 'overlay', 'node', 'helper', 'append', 'out', 'timeout', 'qmp', 'include', 'disk', 'kvm', 'initrd', 'run', 'log', 'bundle', 'share'].map(
    (long) => ({ long, argument: 'required' as const }),
  ),
  { long: 'bzimage' }, { long: 'shell' }, { long: 'json' }, { long: 'help', short: 'h' },
];

/** `tskmod vm`. */
export const vmApplet: Applet = {
  name: 'vm',
  summary: 'boot a kernel in QEMU and run a command in it',
  options: OPTIONS,
  run: async (argv, { stdout, stderr, isTty, signals, terminal, env }) => {
    const controller = new AbortController();
    let ended = 0;
    const end = (signal: Signal) => (): void => {
      ended = SIGNAL_STATUS[signal];
      controller.abort();
    };
    const restore = signals({ SIGINT: end('SIGINT'), SIGTERM: end('SIGTERM'), SIGHUP: end('SIGHUP') });
    try {
      return await runVmApplet(argv, { stdout, stderr, isTty: isTty.stdout, terminal: terminal(), term: env['TERM'], signal: controller.signal });
    } catch (error) {
      if (ended === 0) throw error;
      return ended;
    } finally {
      restore();
    }
  },
};

/** Nothing was booted: a wrong command line, no QEMU, no kernel, a refused device. */
export const EXIT_NOT_STARTED = 126;

const PROGRAM = 'tskmod vm';

const USAGE = `usage: tskmod vm [OPTION]... [--] COMMAND...
       tskmod vm [OPTION]... --shell
Boots a Linux kernel in QEMU, runs COMMAND in it as root, and exits with its exit code.
One word is a script for sh; several are a program and its arguments.

  --kernel SERIES|FILE   6.12 (default), 6.1, 6.12-cloud: a Debian package, fetched once; or a vmlinuz
  --modules DIR          the modules of FILE: a lib/modules/RELEASE
  --bundle FILE          the modules of the guest in one file, such as tskmod bundle makes: the guest
                         has it as /boot/modules-RELEASE.image, and no /lib/modules
  --include GLOB         only modules whose path matches, with all that they need; may be
                         repeated: --include 'kernel/fs/xfs/*'
  --machine NAME         ${MACHINE_PRESETS.join(', ')}
  --memory MIB           memory; enough for the image when absent
  --smp N                processors; 1 when absent
  --disk FILE[,OPT]      a disk of the guest, raw or qcow2; OPT: nvme (instead of virtio), none (only a
                         node fileN for --device), ro
  --kvm auto|off         auto (the default) takes KVM where it works
  --device ARG           a device more, as for QEMU's -device
  --file SRC:DEST        a file or directory of this machine, in the guest as DEST
  --share DIR:DEST[,ro]  a directory of this machine, mounted in the guest as DEST: by
                         virtiofs (virtiofsd, root, not ro), else by 9p
  --overlay DIR          a directory whose contents go to the guest's root
  --node FILE            the Node of the guest; this one when absent
  --helper WHAT          kernel.modprobe: ours, none, or a path in the guest
  --initrd FILE          boot this initramfs as it is, such as one of tskmod initramfs; no COMMAND
  --run COMMAND          the same as COMMAND, as a script for sh
  --shell                a shell on the guest's console instead of COMMAND; Ctrl-] ends the guest
  --log FILE             keeps all that the console said
  --append ARGS          more kernel command line
  --bzimage              let the kernel decompress itself, as on real machines
  --out DIR              where vmctl put writes to
  --timeout S            seconds; 120 when absent
  --qmp SOCKET           a QMP server for other programs
  --json                 the result as one line of JSON; the console goes to stderr
  -h, --help

In the guest: vmctl put FILE... | vmctl mark NAME | vmctl hmp COMMAND (such as device_add virtio-rng-pci,bus=rp0).
Exit codes: COMMAND's; 124 timeout; 125 the guest was gone before (panic); 126 it was never started.
`;

/** Runs the applet on the words after `vm`; resolves with its exit code. Rejects only with the reason of `signal`. */
export async function runVmApplet(argv: readonly string[], io: VmAppletIo): Promise<number> {
  try {
    const parsed = parseVmArguments(argv);
    if (parsed === 'help') {
      io.stdout(helpFor(USAGE, { isTty: { stdout: io.isTty, stderr: io.isTty } }));
      return 0;
    }
    const { json, log, shell, options } = parsed;
    if (shell && !io.terminal) throw new UsageError('--shell needs a terminal on standard input; --run COMMAND does not');
    const controller = new AbortController();
    const show = withoutTrace(json ? io.stderr : io.stdout);
    if (log !== undefined) writeFileSync(log, '');
    const typed = shell && io.terminal ? shellOptions(io.terminal, io.term, controller) : undefined;
    const result = await runVm({
      ...options,
      ...typed?.options,
      signal: io.signal && typed ? AbortSignal.any([io.signal, controller.signal]) : io.signal,
      onConsole: (text) => {
        if (log !== undefined) appendFileSync(log, text);
        show(text);
      },
      onProgress: (line) => io.stderr(`${line}\n`),
    }).finally(() => typed?.restore());
    report(result, { json, log }, io);
    return result.exitCode;
  } catch (error) {
    io.signal?.throwIfAborted();
    if (error === ENDED_BY_KEY) return EXIT_ENDED_BY_KEY;
    // getopt's messages begin with the program's name, as glibc's do.
    const message = messageOf(error);
    io.stderr(`${message.startsWith(`${PROGRAM}: `) ? '' : `${PROGRAM}: `}${message}${/initrd is too large/.test(message) ? ': give the guest more with --memory' : ''}\n`);
    return EXIT_NOT_STARTED;
  }
}

/** What a command line of this applet asks for. Throws a UsageError. */
export function parseVmArguments(argv: readonly string[]): { readonly json: boolean; readonly log: string | undefined; readonly shell: boolean; readonly options: VmOptions } | 'help' {
  const { options, operands } = getopt(argv, OPTIONS, PROGRAM, { stopAtOperand: true });
  const all = (name: string): string[] => options.filter((option) => option.name === name).map((option) => option.value);
  const last = (name: string): string | undefined => all(name).at(-1);
  if (all('help').length > 0) return 'help';
  const run = last('run');
  const initrd = last('initrd');
  const shell = all('shell').length > 0;
  if (shell && (run !== undefined || operands.length > 0 || initrd !== undefined)) throw new UsageError('--shell and something else to run: one of them');
  if (last('bundle') !== undefined && all('include').length > 0) throw new UsageError('--include chooses from a directory of modules; a --bundle is taken as it is');
  if (run !== undefined && operands.length > 0) throw new UsageError('--run and a command: one of them');
  const [first, ...others] = run === undefined ? operands : [run];
  if (first === undefined && initrd === undefined && !shell) throw new UsageError('what is the guest to run? See tskmod vm --help');
  if (first !== undefined && initrd !== undefined) throw new UsageError('--initrd and a command: an initramfs of its own runs what it wants');
  return {
    json: all('json').length > 0,
    log: last('log'),
    shell,
    options: {
      command: others.length === 0 ? first : operands,
      initrd,
      disks: all('disk').map(disk),
      kvm: kvm(last('kvm')),
      kernel: last('kernel'),
      modulesDirectory: last('modules'),
      modulesFile: last('bundle'),
      shares: all('share').map(share),
      include: all('include'),
      machine: machine(last('machine')),
      memoryMiB: positive('memory', last('memory')),
      cpus: positive('smp', last('smp')),
      devices: all('device'),
      files: all('file').map((text) => guestFile(text)),
      overlays: all('overlay'),
      node: last('node'),
      helper: last('helper'),
      append: last('append'),
      boot: all('bzimage').length > 0 ? 'bzimage' : 'pvh',
      outDirectory: last('out'),
      timeoutSeconds: positive('timeout', last('timeout')) ?? (shell ? SHELL_SECONDS : undefined),
      qmpSocket: last('qmp'),
    },
  };
}

/** Nobody waits for a person: a week. */
const SHELL_SECONDS = 604_800;

const CTRL_RIGHT_BRACKET = 0x1d;
const ENDED_BY_KEY = new Error('Ctrl-] was typed');
/** What a shell reports of a program that SIGHUP ended. */
const EXIT_ENDED_BY_KEY = 129;

/** Hands what is typed to the console of the guest; `end` is for the key that ends it. */
function shellOptions(terminal: TerminalInput, term: string | undefined, end: AbortController): { readonly options: Partial<VmOptions>; readonly restore: () => void } {
  let restore: (() => void) | undefined;
  const [columns, rows] = terminal.size;
  return {
    options: {
      command: guestShell(columns, rows, term ?? 'dumb'),
      onConsoleInput: (type) => {
        restore = terminal.raw((bytes) => {
          if (bytes.includes(CTRL_RIGHT_BRACKET)) end.abort(ENDED_BY_KEY);
          else type(bytes);
        });
      },
    },
    restore: () => restore?.(),
  };
}

/** What a shell reports of a program that a signal ended. */
const SIGNAL_STATUS: Readonly<Record<Signal, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** Nobody reads a panic's registers in a terminal: what follows the line with the reason goes to --log and --json only. */
function withoutTrace(print: (text: string) => void): (text: string) => void {
  let recent = '';
  let panicked = false;
  return (text) => {
    if (panicked) return;
    const before = recent.length;
    const panic = /Kernel panic - not syncing: [^\n]*\n/.exec(recent + text);
    panicked = panic !== null;
    print(panic === null ? text : text.slice(0, panic.index + panic[0].length - before));
    recent = (recent + text).slice(-RECENT);
  };
}

const RECENT = 400;

/** What a kernel says that has too little memory for its initramfs. */
const OUT_OF_MEMORY = /Initramfs unpacking failed|System is deadlocked on memory|Out of memory|No working init found|Unable to mount root fs|Attempted to kill init/;

/** What it says of one that is none, or is compressed as it does not know: more memory is no help then. */
const NO_INITRAMFS = /Initramfs unpacking failed: (?:invalid magic|junk|compression method|broken padding)/;

function report(result: VmResult, { json, log }: { readonly json: boolean; readonly log: string | undefined }, io: VmAppletIo): void {
  for (const warning of result.warnings) io.stderr(`${PROGRAM}: ${warning}\n`);
  if (result.outcome === 'timeout') {
    const tasks = parseGuestTasks(result.tasks);
    io.stderr(`${PROGRAM}: the guest was ended by the timeout${tasks.length === 0 ? ' and no longer answered' : '; it was running:'}\n`);
    for (const task of tasks) io.stderr(`  ${formatGuestTask(task)}\n`);
  }
  if (result.outcome === 'panic') io.stderr(`${PROGRAM}: kernel panic: ${result.panic ?? ''}${log === undefined ? '; --log FILE keeps what it said' : `; the rest is in ${log}`}\n`);
  if (result.outcome === 'panic' && NO_INITRAMFS.test(result.console)) io.stderr(`${PROGRAM}: the initramfs is none that this kernel can unpack\n`);
  else if (result.outcome === 'panic' && OUT_OF_MEMORY.test(result.console)) {
    io.stderr(`${PROGRAM}: the guest had ${result.memoryMiB} MiB for an initramfs of ${Math.ceil(result.initrdSize / 2 ** 20)} MiB: was that too little? Try --memory ${result.memoryMiB * 2}\n`);
  }
  if (result.outcome === 'gone') io.stderr(`${PROGRAM}: the guest was gone before its command ended\n`);
  if (!json) return;
  const { exitCode, outcome, panic, ms, release, memoryMiB, initrdSize, marks, files, warnings } = result;
  const names = [...files.keys()];
  io.stdout(jsonLine('guest', { exitCode, outcome, panic, ms, release, memoryMiB, initrdSize, marks: Object.fromEntries(marks), files: names, warnings }));
}

function machine(name: string | undefined): MachinePreset | undefined {
  const found = MACHINE_PRESETS.find((preset) => preset === name);
  if (name !== undefined && found === undefined) throw new UsageError(`--machine ${name}: there are ${MACHINE_PRESETS.join(' and ')}`);
  return found;
}

function kvm(text: string | undefined): 'auto' | 'off' {
  if (text === undefined || text === 'auto') return 'auto';
  if (text !== 'off') throw new UsageError(`--kvm ${text}: there are auto and off`);
  return text;
}

function disk(text: string): GuestDisk {
  const [file = '', ...words] = text.split(',');
  const wrong = words.find((word) => !['virtio', 'nvme', 'none', 'ro'].includes(word));
  if (wrong !== undefined || file === '') throw new UsageError(`--disk ${text}: not FILE[,virtio|nvme|none][,ro]`);
  if (!existsSync(file)) throw new UsageError(`--disk ${file}: no such file`);
  return { file, bus: words.includes('nvme') ? 'nvme' : words.includes('none') ? 'none' : 'virtio', readOnly: words.includes('ro') };
}

function share(text: string): HostShare {
  const readOnly = text.endsWith(',ro');
  const { source, target } = guestFile(readOnly ? text.slice(0, -',ro'.length) : text, 'share');
  if (!statSync(source, { throwIfNoEntry: false })?.isDirectory()) throw new UsageError(`--share ${source}: no such directory`);
  return { directory: resolve(source), target, readOnly };
}

function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--${option} ${text}: not a positive number`);
  return Number(text);
}

function guestFile(text: string, option = 'file'): GuestFile {
  const colon = text.lastIndexOf(':');
  const [source, target] = [text.slice(0, colon), text.slice(colon + 1)];
  if (colon < 1 || !target.startsWith('/')) throw new UsageError(`--${option} ${text}: not SRC:DEST with an absolute DEST`);
  return { source, target };
}
