// tskmod bundle: all modules of a kernel in one file: made, listed, checked, unpacked and added to.

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError, UsageError } from '../errors.ts';
import type { Applet, AppletContext } from './applet.ts';
import { BUNDLE_OPTIONS } from './bundle-options.ts';
import { openProgress, type Progress } from './progress.ts';
import { helpFor } from './standard-options.ts';

const PROGRAM = 'tskmod bundle';

const USAGE = `usage: tskmod bundle COMMAND [OPTION]... [FILE]...
All modules of a kernel, or a selection, in one file, which the tools read in place (--modules FILE, or
/boot/modules-RELEASE) and the kernel can mount on /lib/modules. The same input gives the same bytes;
all times are SOURCE_DATE_EPOCH, or 0.

  create -o FILE       make one, with indexes that are up to date
  add FILE MODULE.ko...
                       make it anew with modules more, or in place of those of the same name
  list FILE            what is in it, with bytes
  info FILE            format, release, sizes, what made it
  verify FILE          read all of it: every module, every sum, and whether the indexes agree
  extract FILE [GLOB]...
                       unpack files, all of them or those of these paths, below -C DIR
All commands:
      --json           JSON Lines (docs/json.md)
  -S, --release R      the kernel release, where a place has modules of several
  -h, --help
create:
  -o, --output FILE    where to; an old file stays whole until the new one is
      --from TREE      a tree, an image, or a root directory; this machine's modules when absent
      --modules PATH   modules to be laid over these; may be repeated
      --format F       erofs (the default), cpio (lib/modules/RELEASE, for an initramfs),
                       squashfs (with mksquashfs), ext4 (with mke2fs and debugfs)
      --select PATTERN only these modules, with all that they need; may be repeated: a name (xfs),
                       an alias, or a path glob ('kernel/fs/**')
      --machine PLACE  those that this machine's devices need (/), those of a captured one (DIR/sys), or
                       of a recording (a file of tskmod record)
      --weakdeps       also what weakdeps of the selected modules name
      --firmware       also the firmware of the selected modules, as firmware/
      --explain        why each file is in it, what it costs, and what would go without it; without -o
                       nothing is written
extract:
  -C, --directory DIR  where to; the current directory when absent. Nothing gets out of it
Commands that read take any image that the tools read: erofs, ext4, squashfs, cpio and tar.
Exit codes: 0 done (verify: all agrees), 1 not.
`;

/** What a command gets of its applet. */
export type BundleRun = {
  readonly argv: readonly string[];
  readonly context: AppletContext;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

const COMMANDS: Readonly<Record<string, () => Promise<(run: BundleRun) => Promise<number>>>> = {
  create: async () => (await import('./bundle-create.ts')).bundleCreate,
  add: async () => (await import('./bundle-create.ts')).bundleAdd,
  list: async () => (await import('./bundle-read.ts')).bundleList,
  info: async () => (await import('./bundle-read.ts')).bundleInfo,
  verify: async () => (await import('./bundle-read.ts')).bundleVerify,
  extract: async () => (await import('./bundle-read.ts')).bundleExtract,
};

/** `tskmod bundle`. */
export const bundleApplet: Applet = {
  name: 'bundle',
  summary: 'put the modules of a kernel into one file, and look into such a file',
  options: BUNDLE_OPTIONS,
  run: async ([command, ...argv], context) => {
    if (command === undefined || ['help', '--help', '-h'].includes(command) || argv.includes('--help') || argv.includes('-h')) {
      (command === undefined ? context.stderr : context.stdout)(helpFor(USAGE, context));
      return command === undefined ? 1 : 0;
    }
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const restore = context.signals({ SIGINT: abort, SIGTERM: abort, SIGHUP: abort });
    const progress = openProgress(context.stderr, { enabled: context.isTty.stderr });
    try {
      const load = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
      if (load === undefined) throw new UsageError(`${command}: there are ${Object.keys(COMMANDS).join(', ')}. See ${PROGRAM} --help`);
      return await (await load())({ argv, context, progress, signal: controller.signal });
    } catch (error) {
      progress.clear();
      if (controller.signal.aborted) {
        context.stderr(`${PROGRAM}: interrupted; nothing was replaced\n`);
        return 1;
      }
      const foreseen = [UsageError, UnsupportedError, FormatError, LimitError].some((kind) => error instanceof kind) || codeOf(error) !== undefined;
      if (!foreseen) throw error;
      const message = messageOf(error);
      context.stderr(`${message.startsWith(PROGRAM) ? '' : `${PROGRAM}: `}${message}\n`);
      return 1;
    } finally {
      progress.clear();
      restore();
    }
  },
};
