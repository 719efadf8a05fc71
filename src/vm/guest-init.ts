// The scripts of a guest: /init, the control line's client, and the wrappers of our bundle. Text only; busybox sh reads them.

/** Where things are in a guest. */
export const GUEST_NODE = '/usr/bin/node';
export const GUEST_BUNDLE = '/app/tskmod.cjs';
/** What lies beside the bundle: the code of the applets, and a directory of what V8 made of it. */
export const GUEST_PARTS = '/app/tskmod.parts';
export const GUEST_CODE_CACHE = '/app/tskmod.cache';
export const GUEST_KOFFI = '/app/koffi.node';
/** Beside the bundle, where tsudevd looks for its own rules. */
export const GUEST_RULES = '/app/rules';
export const GUEST_WRAPPER = '/app/modprobe';
export const GUEST_COMMAND = '/app/command';

/** What a root has to begin with. */
export const GUEST_DIRECTORIES = ['/dev', '/proc', '/sys', '/run', '/tmp', '/root', '/mnt', '/sbin', '/var'];

/** Those that rules give nodes to, with the ids of Debian's base-passwd; the last four have none there. */
const GUEST_GROUPS: readonly (readonly [name: string, id: number])[] = [
  ['root', 0], ['daemon', 1], ['bin', 2], ['sys', 3], ['adm', 4], ['tty', 5], ['disk', 6], ['lp', 7], ['kmem', 15], ['dialout', 20], ['cdrom', 24],
  ['floppy', 25], ['tape', 26], ['audio', 29], ['utmp', 43], ['video', 44], ['plugdev', 46], ['users', 100], ['nogroup', 65534],
  ['input', 901], ['render', 902], ['kvm', 903], ['sgx', 904],
];

/** Files of a caller come later and win. */
export const GUEST_TEXTS = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  '/etc/group': GUEST_GROUPS.map(([name, id]) => `${name}:x:${id}:\n`).join(''),
};

/** A directory of the host that is mounted in the guest: by virtiofs where something serves it at a socket, else by 9p. */
export type GuestShare = { readonly tag: string; readonly target: string; readonly socket?: string | undefined };

export type GuestInitOptions = {
  /** The program that the kernel runs for request_module(): the path that kernel.modprobe is set to, '' for none. */
  readonly helper: string;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly shares?: readonly GuestShare[] | undefined;
  /** Directories of libraries that the dynamic loader does not know by itself. */
  readonly libraryPath?: readonly string[] | undefined;
};

/** Programs of busybox that the scripts below use. */
export const BUSYBOX_APPLETS_NEEDED = ['sh', 'mount', 'mkdir', 'stty', 'printf', 'gzip', 'base64', 'ln', 'rm', 'readlink', 'usleep', 'setsid', 'sleep', 'poweroff'];

/** The text of /init: mounts what a system has, runs the command, and tells the host its exit code. */
export function guestInit(options: GuestInitOptions): string {
  const environment = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', TERM: 'dumb', ...options.environment,
  };
  // Signals are the shell's own business: PID 1 has none.
  return `#!/bin/busybox sh
${exportLines(environment, options.libraryPath)}cd /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
printf '%s\\n' ${shellQuote(options.helper)} > /proc/sys/kernel/modprobe
# The host may ask for all tasks, which Debian's kernels do not show by default.
[ ! -e /proc/sys/kernel/sysrq ] || echo 1 > /proc/sys/kernel/sysrq
${shareLines(options.shares ?? [])}stty -F /dev/ttyS1 115200 raw -echo
stty -F /dev/ttyS0 -onlcr
# Held open to the end: the last close of a serial line resets it.
exec 3<>/dev/ttyS1
printf '@mark shell\\n' >&3
/bin/sh ${GUEST_COMMAND} 3>&- < /dev/null
status=$?
# stty waits until the line has sent everything.
stty -F /dev/ttyS0 onlcr
printf '@exit %d\\n' "$status" >&3
# The host ends the machine now.
sleep 10
poweroff -f
`;
}

/** The kernel asks its helper for the modules. */
function shareLines(shares: readonly GuestShare[]): string {
  return shares.map(({ tag, target, socket }) => (
    `mkdir -p ${shellQuote(target)} && mount -t ${socket === undefined ? '9p -o trans=virtio,version=9p2000.L,msize=262144' : 'virtiofs'} ${tag} ${shellQuote(target)} || echo ${shellQuote(`vm: ${target} is not mounted`)}\n`
  )).join('');
}

/** An interactive shell on the console; its end is the guest's. */
export function guestShell(columns: number, rows: number, term: string): string {
  return `stty -F /dev/ttyS0 onlcr rows ${rows} cols ${columns}
TERM=${shellQuote(term)} setsid -c /bin/sh -i < /dev/ttyS0 > /dev/ttyS0 2>&1
status=$?
stty -F /dev/ttyS0 -onlcr
exit $status`;
}

/** The script that /init runs. */
export function guestCommand(command: string | readonly string[]): string {
  return typeof command === 'string' ? `${command}\n` : `exec ${command.map(shellQuote).join(' ')}\n`;
}

/**
 * The text of /bin/vmctl: speaks to the host over ttyS1, one caller at a time. Requests are lines that start with '@' and carry the
 * caller's pid; lines without it are data. The host's lines start with that pid, so what a killed caller left unread hurts nobody.
 */
export const VMCTL = `#!/bin/busybox sh
usage='usage: vmctl mark NAME | put FILE... | hmp COMMAND...'
lock=/run/vmctl.lock
line=/dev/ttyS1
acquire() {
  until ln -s $$ $lock 2> /dev/null; do
    owner=$(readlink $lock)
    [ -z "$owner" ] || [ -d /proc/$owner ] || rm -f $lock
    usleep 20000
  done
  trap 'rm -f $lock' EXIT
  trap 'exit 1' INT TERM HUP
}
answer() {
  while IFS= read -r text <&9; do
    case $text in
      "$$ done "*) return \${text##* } ;;
      "$$ "*) printf '%s\\n' "\${text#* }" ;;
    esac
  done
  return 1
}
verb=$1
[ $# -ge 2 ] || { echo "$usage" >&2; exit 126; }
shift
acquire
exec 9<> $line
case $verb in
  mark) printf '@mark %s\\n' "$*" >&9 ;;
  hmp) printf '@hmp %s %s\\n' $$ "$*" >&9; answer ;;
  put)
    result=0
    for file; do
      [ -f "$file" ] && [ -r "$file" ] || { echo "vmctl: cannot read $file" >&2; result=1; continue; }
      printf '@put %s %s\\n' $$ "\${file##*/}" >&9
      gzip -c < "$file" | base64 >&9
      printf '@end\\n' >&9
      answer || result=1
    done
    exit $result ;;
  *) echo "$usage" >&2; exit 126 ;;
esac
`;

/** The text of the wrapper that runs the bundle as the applet it is called by: the kernel gives its helper nothing but argv. */
export function guestWrapper(libraryPath: readonly string[] = []): string {
  return `#!/bin/sh
${exportLines({}, libraryPath)}name=\${0##*/}
[ "$name" = tskmod ] || set -- "\${name#ts}" "$@"
exec ${GUEST_NODE} ${GUEST_BUNDLE} "$@"
`;
}

/** One word for sh. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function exportLines(environment: Readonly<Record<string, string>>, libraryPath: readonly string[] = []): string {
  const all = libraryPath.length > 0 ? { ...environment, LD_LIBRARY_PATH: libraryPath.join(':') } : environment;
  return Object.entries(all).map(([name, value]) => `export ${name}=${shellQuote(value)}\n`).join('');
}
