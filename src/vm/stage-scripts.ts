// The scripts that an initramfs of another tool gets from us: our tools by their names, and the start and end of our coldplug. Text only; any sh reads it.

import { shellQuote } from './guest-init.ts';

/** Where all of it is in the image, but Node and the bundle. */
export const STAGE_DIRECTORY = '/usr/lib/tsmodprobe';

export type StageScriptOptions = {
  readonly node: string;
  readonly release: string;
  /** Directories of libraries that the dynamic loader has to be told of. */
  readonly libraryPath: readonly string[];
  /** Bring what leads to the root first and stop there, or all devices. */
  readonly coldplug: 'goal' | 'all';
  /** Seconds that a goal may take once nothing is left to do. */
  readonly timeout: number;
};

/** What reads modules: told where they are. */
const MODULE_APPLETS = ['modprobe', 'modinfo', 'udevd'];

/** Files below STAGE_DIRECTORY, all executable, by their names. */
export function stageScripts(options: StageScriptOptions): Readonly<Record<string, string>> {
  const { node, release, libraryPath, coldplug, timeout } = options;
  const environment = libraryPath.length === 0 ? '' : `export LD_LIBRARY_PATH=${shellQuote(libraryPath.join(':'))}\n`;
  const bundle = `/boot/modules-${release}`;
  const run = (applet: string): string => {
    const words = [applet, ...(MODULE_APPLETS.includes(applet) ? ['--modules', shellQuote(bundle)] : [])];
    return `exec ${node} ${STAGE_DIRECTORY}/tskmod.cjs ${words.join(' ')} "$@"\n`;
  };
  const wrapper = (text: string): string => `#!/bin/sh\n${environment}${text}`;
  return {
    modprobe: wrapper(run('modprobe')),
    tskmod: wrapper(`exec ${node} ${STAGE_DIRECTORY}/tskmod.cjs "$@"\n`),
    tsudevd: wrapper(run('udevd')),
    udevadm: wrapper(`${UDEVADM}${run('udevadm')}`),
    prepare: PREPARE,
    start: start(coldplug, timeout),
    stop: STOP,
  };
}

/** Without a daemon there is nothing to trigger, to wait for or to stop; and the database is for the system that comes. */
const UDEVADM = `case $1 in
  trigger|settle|control) [ -e /run/udev/control ] || exit 0 ;;
  info)
    for word; do
      case $word in --cleanup-db|-c) exit 0 ;; esac
    done ;;
esac
`;

/** Not when the image is made: the kernel would run /sbin/modprobe two dozen times before /init. */
const PREPARE = `#!/bin/sh
# Our modprobe in the place of the image's and the kernel's.
lib=${STAGE_DIRECTORY}
[ ! -e /run/tsmodprobe/helper ] || exit 0
mkdir -p /run/tsmodprobe
cat /proc/sys/kernel/modprobe > /run/tsmodprobe/helper
echo $lib/modprobe > /proc/sys/kernel/modprobe
for program in /sbin/modprobe /usr/bin/modprobe; do
  [ ! -e $program ] || ln -sf $lib/modprobe $program
done
exit 0
`;

const start = (coldplug: 'goal' | 'all', timeout: number): string => `#!/bin/sh
# start GOAL...: brings what leads to each goal (LABEL=, UUID=, PARTUUID=, PARTLABEL=, ID=, a node). Where one does not come, is
# none of these, or none is given, tsudevd handles all devices and stays.
lib=${STAGE_DIRECTORY}
$lib/prepare
[ ! -e /run/udev/control ] || exit 0
all=${coldplug === 'all' ? 'yes' : ''}
[ $# -gt 0 ] || all=yes
for goal; do
  [ -z "$all" ] || break
  goal=\${goal#block:}
  case $goal in
    /dev/nfs|/dev/root|/dev/ram*) all=yes ;;
    LABEL=?*|UUID=?*|PARTUUID=?*|PARTLABEL=?*|ID=?*|/dev/?*)
      $lib/tsudevd --until "$goal" --timeout ${timeout} -N never >> /run/tsmodprobe/log 2>&1 || {
        echo "tsmodprobe: $goal has not come (/run/tsmodprobe/log says what was tried): handling all devices"
        all=yes
      } ;;
    *) all=yes ;;
  esac
done
if [ -n "$all" ]; then
  $lib/tsudevd --daemon -N never || exit 1
  $lib/udevadm settle --timeout=60
fi
exit 0
`;

const STOP = `#!/bin/sh
# The system that comes goes on with what is in /run/udev.
[ ! -e /run/udev/control ] || ${STAGE_DIRECTORY}/udevadm control --exit
[ ! -e /run/tsmodprobe/helper ] || cat /run/tsmodprobe/helper > /proc/sys/kernel/modprobe
exit 0
`;
