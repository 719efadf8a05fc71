// The command line: finds the applet by the name that was called or by the first word, runs it, and exits.

import { writeSync } from 'node:fs';

import type { AppletContext, Signal, Subcommand, TerminalInput } from './applets/applet.ts';
import { codeOf, messageOf, UsageError } from './errors.ts';
import { openSystem } from './system.ts';
import { VERSION } from './version.ts';

type Entry = Subcommand & {
  /** Not for people: parts of ourselves that run as programs of their own. */
  readonly hidden?: boolean;
  /** Of the libuv pool; THREADS when absent. `cores` for what computes on them: more than there are cores would be in each other's way. */
  readonly threads?: number | 'cores';
};

// finit_module and poll hold threads of the libuv pool, and its default of four would let them starve file reads.
const THREADS = 16;
/**
 * Each module whose init waits for another request of the kernel holds a thread, and the kernel has up to fifty (MAX_KMOD_CONCURRENT);
 * eight are the loader's own, eight libblkid's, and the rest are left for files. docs/helper.md.
 */
const DAEMON_THREADS = 72;

/** Applets are loaded when they are called: start-up pays for one. */
const APPLETS: readonly Entry[] = [
  { name: 'modprobe', summary: 'insert or remove a module and all that it needs', load: async () => (await import('./applets/modprobe.ts')).modprobe },
  { name: 'insmod', summary: 'insert one module file', load: async () => (await import('./applets/insmod.ts')).insmod },
  { name: 'rmmod', summary: 'remove modules', load: async () => (await import('./applets/rmmod.ts')).rmmod },
  { name: 'lsmod', summary: 'list the modules that are loaded', load: async () => (await import('./applets/lsmod.ts')).lsmod },
  { name: 'modinfo', threads: 'cores', summary: 'show what modules say of themselves', load: async () => (await import('./applets/modinfo.ts')).modinfo },
  { name: 'kmod', summary: 'all tools of kmod by their names, list and static-nodes', load: async () => (await import('./applets/kmod.ts')).kmodApplet(find) },
  { name: 'depmod', summary: 'make the indexes of modprobe from the modules of a kernel', load: async () => (await import('./applets/depmod.ts')).depmodApplet },
  { name: 'depmod-worker', summary: '', hidden: true, load: async () => (await import('./applets/depmod-worker.ts')).depmodWorker },
  { name: 'lint', summary: 'say what in modprobe.d does not do what it looks like', load: async () => (await import('./applets/lint.ts')).lint },
  { name: 'doctor', summary: 'say why a module cannot be found or loaded', load: async () => (await import('./applets/doctor.ts')).doctor },
  { name: 'udevd', threads: DAEMON_THREADS, summary: 'apply udev rules to devices and load their modules, at once and as they come', load: async () => (await import('./applets/udevd.ts')).udevdApplet },
  { name: 'udevadm', summary: 'ask what udev knows, and tell it what to do', load: async () => (await import('./applets/udevadm.ts')).udevadm },
  { name: 'probe', summary: 'say what is on a disk or image, and which module its mount would load', load: async () => (await import('./applets/probe.ts')).probeApplet },
  { name: 'why', summary: 'say why a module is loaded, or is not, from the device to the kernel\'s answer', load: async () => (await import('./applets/why.ts')).whyApplet },
  { name: 'timeline', summary: 'show the events and loads of the boot, and what they waited for', load: async () => (await import('./applets/timeline.ts')).timelineApplet },
  { name: 'helper', summary: 'have the kernel ask tsudevd for modules', load: async () => (await import('./applets/helper.ts')).helperApplet },
  { name: 'status', summary: 'say what tsudevd has done and does now', load: async () => (await import('./applets/status.ts')).statusApplet },
  { name: 'top', summary: 'watch what tsudevd does', load: async () => (await import('./applets/top.ts')).topApplet },
  { name: 'bundle', summary: 'put the modules of a kernel into one file, and look into such a file', load: async () => (await import('./applets/bundle.ts')).bundleApplet },
  { name: 'initramfs', summary: 'make an initramfs of selected modules that boots a root file system or stays in RAM', load: async () => (await import('./applets/initramfs.ts')).initramfsApplet },
  { name: 'record', summary: 'write this machine to a file that other commands take with --machine', load: async () => (await import('./applets/record.ts')).recordApplet },
  { name: 'check', summary: 'say whether an initramfs or kernel boots the machine of a recording', load: async () => (await import('./applets/check.ts')).checkApplet },
  { name: 'diff', summary: 'say what another kernel changes for the machine of a recording', load: async () => (await import('./applets/diff.ts')).diffApplet },
  { name: 'replay', summary: 'play the events of a recording to our daemon, also with faults', load: async () => (await import('./applets/replay.ts')).replayApplet },
  { name: 'completion', summary: 'print what bash, zsh and fish complete command lines with', load: async () => (await import('./applets/completion.ts')).completionApplet(APPLETS.filter(({ hidden }) => !hidden)) },
  { name: 'help', summary: 'show the manual page of a command', load: async () => (await import('./applets/help.ts')).helpApplet },
  { name: 'vm', summary: 'boot a kernel in QEMU and run a command in it', load: async () => (await import('./applets/vm.ts')).vmApplet },
];

/** Status of a shell for a command line that cannot be run. */
const EXIT_USAGE = 1;
/** 128 + SIGPIPE: what a shell reports of a program whose reader has gone. */
const EXIT_PIPE = 141;

run(process.argv.slice(2), programName(process.argv[1] ?? 'tskmod')).then(
  (status) => process.exit(status),
  (error: unknown) => {
    write(2, `${error instanceof Error ? error.stack : messageOf(error)}\n`);
    process.exit(EXIT_USAGE);
  },
);

/** Without a directory, `.js`, `.cjs` and `.mjs`. */
function programName(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const extension = ['.js', '.cjs', '.mjs'].find((end) => name.endsWith(end)) ?? '';
  return name.slice(0, name.length - extension.length);
}

async function run(argv: readonly string[], called: string): Promise<number> {
  const own = find(called);
  if (own) return start(own, argv, called);
  const [word, ...rest] = argv;
  if (word === '--version' || word === '-V') {
    write(1, `tsmodprobe ${VERSION}\n`);
    return 0;
  }
  if (word === undefined || (word === 'help' && rest.length === 0) || word === '--help' || word === '-h') {
    const fd = word === undefined ? 2 : 1;
    const { helpFor } = await import('./applets/standard-options.ts');
    write(fd, helpFor(help(), { isTty: { stdout: isTty(fd), stderr: isTty(2) } }));
    return word === undefined ? EXIT_USAGE : 0;
  }
  const named = find(word);
  if (named) return start(named, rest, word);
  write(2, `${called}: no such applet: '${word}'\n${help()}`);
  return EXIT_USAGE;
}

async function start(entry: Entry, argv: readonly string[], program: string): Promise<number> {
  // libuv reads the variable when the first thread is needed.
  process.env['UV_THREADPOOL_SIZE'] ??= String(entry.threads === 'cores' ? process.getBuiltinModule('node:os').availableParallelism() : entry.threads ?? THREADS);
  const applet = await entry.load();
  try {
    return await applet.run(argv, contextFor(program));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    write(2, `${error.message}\n`);
    return EXIT_USAGE;
  }
}

/** `modprobe` and `tsmodprobe` are one applet; `tskmod` is all of them, and `kmod` is kmod. */
function find(name: string): Entry | undefined {
  return APPLETS.find((applet) => name === applet.name || (name === `ts${applet.name}` && name !== 'tskmod'));
}

function help(): string {
  const lines = APPLETS.filter(({ hidden }) => !hidden).map(({ name, summary }) => `  ${name.padEnd(12)}${summary}\n`).join('');
  return `Usage: tskmod APPLET [ARGUMENT]...\n\nApplets (also by a link of that name, with or without "ts" before it):\n${lines}
tskmod APPLET --help tells more, and tskmod help APPLET all.\n`;
}

function contextFor(program: string): AppletContext {
  return {
    program,
    stdout: (text) => write(1, text),
    stderr: (text) => write(2, text),
    isTty: {
      get stdout() {
        return isTty(1);
      },
      get stderr() {
        return isTty(2);
      },
    },
    env: process.env,
    openSystem,
    terminal: () => (isTty(0) ? terminalInput(process.stdin, process.stdout) : undefined),
    signals(handlers) {
      const entries = Object.entries(handlers) as [Signal, () => void][];
      for (const [signal, handler] of entries) process.on(signal, handler);
      return () => {
        for (const [signal, handler] of entries) process.off(signal, handler);
      };
    },
  };
}

function terminalInput(input: NodeJS.ReadStream, output: NodeJS.WriteStream): TerminalInput {
  return {
    raw(onKeys) {
      input.setRawMode(true).on('data', onKeys).resume();
      return () => void input.off('data', onKeys).setRawMode(false).pause();
    },
    get size(): readonly [number, number] {
      return [output.columns ?? 80, output.rows ?? 24];
    },
  };
}

/** node:tty brings all of net and stream with it, ten milliseconds: only who asks pays. */
function isTty(fd: number): boolean {
  return process.getBuiltinModule('node:tty').isatty(fd);
}

/** Writes at once: process.stdout costs a millisecond of start-up and may lose its tail at exit. */
function write(fd: 1 | 2, text: string): void {
  if (text === '') return;
  // A Buffer is made when it is needed: for what a pipe did not take at once.
  let bytes: Buffer | undefined;
  for (let done = 0; done < (bytes?.length ?? 1);) {
    try {
      done += bytes ? writeSync(fd, bytes, done) : writeSync(fd, text);
      if (!bytes && done === Buffer.byteLength(text)) return;
      bytes ??= Buffer.from(text);
    } catch (error) {
      if (codeOf(error) === 'EPIPE') process.exit(EXIT_PIPE);
      // A pipe that another program set to non-blocking: wait for its reader.
      if (codeOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
