// tskmod initramfs: makes the file that a kernel boots with, of selected modules, our tools, busybox and an /init.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { codeOf, FormatError, LimitError, messageOf, ParseError, UnsupportedError, UsageError } from '../errors.ts';
import { HOOK_DIRECTORY } from '../vm/boot-init.ts';
import { createBootInitramfs, type BootInitramfsOptions, type BootInitramfsReport } from '../vm/boot-initramfs.ts';
import { defaultCacheDirectory } from '../vm/cache.ts';
import type { GuestFile } from '../vm/initramfs.ts';
import { readKernelConfig } from '../vm/kernel-config.ts';
import { findKernel } from '../vm/kernel.ts';
import { extractKernel } from '../vm/vmlinux.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { openProgress } from './progress.ts';
import { placeOfModules, runStage } from './initramfs-stage.ts';
import { SELECT_OPTIONS, selectionIn } from './select-options.ts';
import { helpFor } from './standard-options.ts';

const PROGRAM = 'tskmod initramfs';
const COMPRESSIONS = ['auto', 'gzip', 'xz', 'zstd', 'none'] as const;

const USAGE = `usage: tskmod initramfs create [OPTION]... -o FILE
       tskmod initramfs stage [OPTION]... DIRECTORY
create writes an initramfs with an /init that loads the drivers of the machine, finds the root file
system and switches to it, or stays as a small Linux in RAM. The same input gives the same bytes.
stage fills DIRECTORY with what an initramfs of another tool gets from us, for the hooks of
packaging/: Node, our tools, and a bundle of the modules; of the options below it takes --release,
--modules, --select, --machine and --json, and

      --config FILE          instead of /etc/tsmodprobe/initramfs.conf, which need not be there

create:
  -o, --output FILE      where to; an old file stays whole until the new one is
  -S, --release R        the kernel release; this machine's when absent
      --kernel WHAT      6.12, 6.1: a Debian package, fetched once; or a vmlinuz: gives release, modules
                         and what the kernel can unpack
      --modules PATH     the tree (lib/modules/RELEASE), or one file that holds it
      --select PATTERN   only these modules, with all that they need; and their firmware; may be
                         repeated: a name (virtio_blk), an alias, or a path glob ('kernel/fs/ext4/*')
      --machine PLACE    those that this machine's devices need (/), those of a captured one
                         (DIR/sys), or of a recording (a file of tskmod record)
      --root SPEC        LABEL=, UUID=, PARTUUID=, PARTLABEL=, a path, or none (the default): what counts
                         where the kernel's command line has no root=
      --add SRC[:DST]    a file or directory more; a program brings its libraries
      --hooks DIR        executables in DIR/mounted, DIR/devices, DIR/root, DIR/shell run at these points
                         (in the initramfs: ${HOOK_DIRECTORY})
      --init FILE        an /init instead of ours
      --node FILE        this Node instead of the one that runs
      --no-node          neither Node nor our tools: busybox does it, with decompressed modules
      --compress HOW     ${COMPRESSIONS.join(', ')}; auto is the best that the kernel unpacks
      --json             the sizes as one line of JSON
  -h, --help
Exit codes: 0 written, 1 not.
`;

const OPTIONS: readonly OptionSpec[] = [
  { long: 'output', short: 'o', argument: 'required' }, { long: 'release', short: 'S', argument: 'required' },
  ...SELECT_OPTIONS,
  ...['kernel', 'modules', 'root', 'add', 'hooks', 'init', 'node', 'compress', 'config'].map((long) => ({ long, argument: 'required' as const })),
  { long: 'no-node' }, { long: 'json' }, { long: 'help', short: 'h' },
];

type Command = {
  readonly output: string;
  readonly json: boolean;
  readonly release: string | undefined;
  readonly kernel: string | undefined;
  readonly modules: string | undefined;
  readonly plain: Pick<BootInitramfsOptions, 'select' | 'machines' | 'root' | 'files' | 'hooks' | 'init' | 'node' | 'compression'>;
};

/** `tskmod initramfs`. */
export const initramfsApplet: Applet = {
  name: 'initramfs',
  summary: 'make an initramfs of selected modules that boots a root file system or stays in RAM',
  options: OPTIONS,
  run: async (argv, context) => {
    const controller = new AbortController();
    const restore = context.signals({ SIGINT: () => controller.abort(), SIGTERM: () => controller.abort(), SIGHUP: () => controller.abort() });
    const progress = openProgress(context.stderr, { enabled: context.isTty.stderr });
    try {
      const onProgress = (line: string): void => progress.show(line);
      const words = getopt(argv, OPTIONS, PROGRAM);
      if (words.operands[0] === 'stage' && !words.options.some(({ name }) => name === 'help')) {
        const text = await runStage(argv, context, onProgress, controller.signal);
        progress.clear();
        context.stdout(text);
        return 0;
      }
      const command = parseInitramfsArguments(argv);
      if (command === 'help') {
        context.stdout(helpFor(USAGE, context));
        return 0;
      }
      const options = await completed(command, context, onProgress, controller.signal);
      const report = await createBootInitramfs(command.output, options);
      progress.clear();
      context.stdout(command.json ? jsonLine('initramfs', report) : reportText(report, options));
      return 0;
    } catch (error) {
      progress.clear();
      if (controller.signal.aborted) {
        context.stderr(`${PROGRAM}: interrupted; nothing was written\n`);
        return 1;
      }
      if (!(error instanceof UsageError || error instanceof LimitError || error instanceof UnsupportedError || error instanceof ParseError || error instanceof FormatError || codeOf(error) !== undefined)) throw error;
      const message = messageOf(error);
      context.stderr(`${message.startsWith(PROGRAM) ? '' : `${PROGRAM}: `}${message}\n`);
      return 1;
    } finally {
      restore();
    }
  },
};

/** What a command line of this applet asks for. Throws a UsageError. */
export function parseInitramfsArguments(argv: readonly string[]): Command | 'help' {
  const { options, operands } = getopt(argv, OPTIONS, PROGRAM);
  const all = (name: string): string[] => options.filter((option) => option.name === name).map((option) => option.value);
  const last = (name: string): string | undefined => all(name).at(-1);
  if (last('help') !== undefined) return 'help';
  if (operands.length !== 1 || operands[0] !== 'create') throw new UsageError(`${operands[0] === undefined ? 'what to do' : operands.join(' ')}: there are create and stage. See ${PROGRAM} --help`);
  const output = last('output');
  if (output === undefined) throw new UsageError('where to? Name a file with -o');
  if (last('config') !== undefined) throw new UsageError(`--config ${last('config')}: only stage takes it`);
  const compress = last('compress') ?? 'auto';
  const compression = COMPRESSIONS.find((name) => name === compress);
  if (compression === undefined) throw new UsageError(`--compress ${compress}: there are ${COMPRESSIONS.join(', ')}`);
  const root = last('root');
  if (root !== undefined && root !== 'none' && !/^(?:(?:LABEL|UUID|PARTUUID|PARTLABEL|ID)=.|\/dev\/.)/.test(root)) {
    throw new UsageError(`--root ${root}: not LABEL=, UUID=, PARTUUID=, PARTLABEL=, ID=, a path below /dev, or none`);
  }
  return {
    output, json: last('json') !== undefined, release: last('release'), kernel: last('kernel'), modules: last('modules'),
    plain: {
      ...selectionIn(options), root: root === 'none' ? undefined : root, files: all('add').map(addedFile), hooks: last('hooks'), init: last('init'),
      node: last('no-node') !== undefined ? undefined : last('node') ?? process.execPath, compression,
    },
  };
}

async function completed(command: Command, context: AppletContext, onProgress: (line: string) => void, signal: AbortSignal): Promise<BootInitramfsOptions> {
  const { plain } = command;
  if (command.kernel === undefined) {
    const system = context.openSystem(command.release === undefined ? {} : { release: command.release });
    const { release } = system;
    const modules = placeOfModules(system, command.modules);
    const config = readKernelConfig({ release, modules }) ?? (await configInside(join(system.roots.modules || '/', 'boot', `vmlinuz-${release}`), release));
    return { ...plain, release, modules, config, onProgress, signal };
  }
  const cacheDirectory = defaultCacheDirectory();
  const kernel = await findKernel({ kernel: command.kernel, cacheDirectory, signal, onProgress });
  const release = command.release ?? kernel.release;
  const modules = existing(command.modules) ?? kernel.modules;
  if (release === undefined) throw new UsageError(`${command.kernel}: its name does not tell its release: give --release`);
  const config = readKernelConfig({ image: kernel.image, release, modules })
    ?? readKernelConfig({ image: kernel.image, release, modules, vmlinux: await extractKernel(kernel.image, cacheDirectory) });
  return { ...plain, release, modules, config, onProgress, signal };
}

/** Of this machine's image, where it is there and can be read; undefined where it tells nothing. */
async function configInside(image: string, release: string): Promise<string | undefined> {
  try {
    return readKernelConfig({ image, release, vmlinux: await extractKernel(image, defaultCacheDirectory()) });
  } catch (error) {
    // Its configuration is a help, and other machines than x86 have other images.
    if (error instanceof FormatError || error instanceof LimitError || codeOf(error) !== undefined) return undefined;
    throw error;
  }
}

function existing(path: string | undefined): string | undefined {
  if (path !== undefined && !existsSync(path)) throw new UsageError(`--modules ${path}: no such file or directory`);
  return path;
}

/** `SRC`, which keeps its absolute path, or `SRC:DST`. */
function addedFile(text: string): GuestFile {
  const colon = text.lastIndexOf(':/');
  return colon > 0 ? { source: text.slice(0, colon), target: text.slice(colon + 1) } : { source: text, target: resolve(text) };
}

function reportText(report: BootInitramfsReport, { node, config, release }: BootInitramfsOptions): string {
  const { modules, tree, compression } = report;
  const rows: [string, number, string][] = [
    ['modules', modules.bytes, `${modules.files} of ${tree.files}; the whole tree: ${megabytes(tree.bytes)}`],
    ...(report.firmware.files + report.missingFirmware.length === 0 ? [] : [['firmware', report.firmware.bytes, `${report.firmware.files} files; ${report.missingFirmware.length} that modules name are not on this machine`] as [string, number, string]]),
    ...(node === undefined ? [] : [['Node and tools', report.runtime.bytes, ''] as [string, number, string]]),
    [report.busybox ? 'busybox' : 'shell', report.system.bytes, ''],
    ...(report.added.bytes === 0 ? [] : [['added', report.added.bytes, ''] as [string, number, string]]),
    ['unpacked', report.unpacked, `needs a machine of ${report.memoryMiB} MiB: a file system in RAM may take half of it`],
    [report.path, report.size, `${compression}${config === undefined ? `; no configuration of ${release} was found to choose by` : ''}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, bytes, note]) => `${`${name.padEnd(width)}  ${megabytes(bytes).padStart(9)}  ${note}`.trimEnd()}\n`).join('');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
