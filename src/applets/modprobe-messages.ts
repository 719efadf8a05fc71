// What modprobe says: kmod's texts, with the kernel's reason where kmod says "see dmesg".

import type { ProbeFailure, ProbeStep } from '../kmod/probe.ts';

/** The line that -v, -n and -D print for a step. The blank before absent parameters is kmod's. */
export function stepLine(step: ProbeStep): string {
  switch (step.action) {
    case 'insmod':
      return `insmod ${step.path} ${step.params}\n`;
    case 'install':
      return `install ${step.command} ${step.params}\n`;
    case 'builtin':
      return `builtin ${step.module}\n`;
    case 'rmmod':
      return `rmmod ${step.module}\n`;
    case 'remove':
      return `remove ${step.command}\n`;
  }
}

/** Behind `could not insert 'NAME': `. `strict`: in kmod's words only. */
export function insertionReason(failure: ProbeFailure, strict: boolean): string {
  if (strict && failure.syscall === 'open') return 'Unknown symbol in module, or unknown parameter (see dmesg)';
  if (failure.syscall === 'open' || failure.syscall === 'decompress' || failure.syscall === 'deny') return failure.text;
  const kernel = failure.kernel.length > 0 && !strict ? `: ${failure.kernel.join('; ')}` : '';
  if (failure.code === 'ENOENT') return `Unknown symbol in module, or unknown parameter${kernel || ' (see dmesg)'}`;
  if (failure.syscall === 'sh') return 'Invalid argument';
  return failure.text + kernel;
}

/** Whether a removal was refused before the kernel was asked for it: what kmod calls fatal. */
export function isRefusal({ syscall, text }: ProbeFailure): boolean {
  return syscall === 'sh' || text === 'in use';
}

/** Why a module stays. */
export function refusalOf(module: string, failure: ProbeFailure): string {
  if (failure.syscall === 'sh') return `Error running remove command for ${module}`;
  return isRefusal(failure) ? `Module ${module} is in use.` : `could not remove '${module}': ${failure.text}`;
}

export const MODPROBE_HELP = `Usage: modprobe [OPTION]... MODULE [PARAMETER=VALUE]...
       modprobe [OPTION]... -a MODULE...
       modprobe [OPTION]... -r MODULE...
Insert a module and all that it needs, or remove it.

What to do
  -a, --all               every operand is the name of a module
  -r, --remove            remove instead of inserting
      --remove-holders    with -r: remove those first that use the module
                          (also --remove-dependencies)
  -D, --show-depends      print what would be done if nothing were loaded
  -R, --show-alias        print the modules that a name stands for
                          (also --resolve-alias)
  -c, --show-config       print the configuration and the alias indexes
                          (also --showconfig)
      --show-modversions  print the symbol versions that a module needs
                          (also --dump-modversions)
      --show-exports      print the symbols that a module exports

How
  -n, --dry-run, --show   print what would be done, and do nothing
      --first-time        fail if the module is already inserted, or removed
  -b, --use-blacklist     the blacklist applies to plain names too
  -i, --ignore-install, --ignore-remove
                          no install or remove command and no softdeps of the
                          named module
  -f, --force             insert or remove what the kernel refuses; it may crash
      --force-modversion, --force-vermagic
                          ignore symbol versions, or the version string
  -w, --wait=MSEC         with -r: wait for the users of the module to go
      --strict-kmod       exactly kmod's behaviour: docs/deviations.md

Where
  -C, --config=PATH       read this file or directory instead of modprobe.d;
                          may be repeated
  -d, --dirname=DIR       modules are in DIR/lib/modules
  -S, --set-version=REL   modules of kernel release REL, not of this kernel
      --modules=PATH      modules are in PATH: an image, or a directory;
                          repeated, later ones are laid over earlier ones
      --machine=FILE      with -n, -D, -R, -c: what is loaded, and the release, as a
                          recording has it (tskmod record)

Output
  -s, --syslog            errors go to the system log
  -q, --quiet             no errors, and nothing of -n and -v
  -v, --verbose           print each action
      --json              print the plan with its reasons (with -n or -D), or
                          what came of it, as one JSON object a line;
                          also with -c, -R and --show-* (docs/json.md)
  -V, --version
  -h, --help

MODULE may be a path that begins with / or ./ when inserting. Options in
MODPROBE_OPTIONS come before those of the command line.

Exit status: 0 on success, 1 otherwise.
`;
