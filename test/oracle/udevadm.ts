// Debian's udevadm 252 in a namespace of its own: what `test` says of an event, without a trace of it on this machine.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type UdevCase = {
  readonly syspath: string;
  readonly action: string;
  /** Files of rules by their base names; all that there are. */
  readonly rules: Readonly<Record<string, string>>;
  /** A file of the database, by its name, before the event. */
  readonly database?: readonly [id: string, text: string];
};

export type UdevOutcome = {
  readonly properties: Readonly<Record<string, string>>;
  readonly links: readonly string[];
  readonly tags: readonly string[];
  readonly currentTags: readonly string[];
  readonly run: readonly string[];
  /** Of the node, where it was set. */
  readonly permissions: string | undefined;
  /** All that it logged, for a person. */
  readonly log: string;
};

/**
 * /run, /dev and the rules' directories are new, /sys and /proc/sys read-only, and the network interfaces are another namespace's where
 * `network` is set.
 */
const SCRIPT = `
set -eu
mount --make-rprivate /
udevadm=$1; cases=$2; empty=$3; network=$4
mount -t tmpfs none /mnt
mkdir /mnt/dev /mnt/empty
cp -a /dev/. /mnt/dev/ 2>/dev/null || true
mount --bind /mnt/dev /dev
for d in /etc/udev/rules.d /usr/lib/udev/rules.d; do if [ -d $d ]; then mount --bind /mnt/empty $d; fi; done
mount -t tmpfs none /run
if [ $network = 1 ]; then mount -t sysfs none /sys; fi
mount -o remount,ro,bind /sys
mount -o bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
# In a container udev reads the arguments of the first process in place of the kernel's.
mount --bind "$cases/../cmdline" /proc/cmdline
mount --bind "$cases/../init" /proc/1/cmdline
for c in "$cases"/*/; do
  rm -rf /run/udev
  # A rule may ask for a link of this name.
  [ -c /dev/null ] || { rm -rf /dev/null; mknod -m 666 /dev/null c 1 3; }
  mkdir -p /run/udev/data
  cp -r "$c/rules" /run/udev/rules.d
  if [ -d "$c/data" ]; then cp "$c/data"/* /run/udev/data/; fi
  "$udevadm" test -a "$(cat "$c/action")" "$(cat "$c/syspath")" >"$c/out" 2>"$c/log" || echo "status $?" >>"$c/log"
done
`;

/** What the kernel was started with, as far as udevadm knows. */
export const CMDLINE = 'BOOT_IMAGE=/vmlinuz root=/dev/x ro console=tty0 console=ttyS0,115200 dash-key=1 empty= quiet';

/** All cases in one go: a namespace costs more than an event. */
export function udevadmTest(udevadm: string, cases: readonly UdevCase[], { network = false } = {}): readonly UdevOutcome[] {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-udevadm-'));
  try {
    const empty = join(directory, 'empty');
    const top = join(directory, 'cases');
    mkdirSync(empty);
    writeFileSync(join(directory, 'cmdline'), `${CMDLINE}\n`);
    writeFileSync(join(directory, 'init'), `init ${CMDLINE} `.replaceAll(' ', '\0'));
    const places = cases.map((each, i) => {
      const place = join(top, String(i).padStart(6, '0'));
      mkdirSync(join(place, 'rules'), { recursive: true });
      for (const [name, text] of Object.entries(each.rules)) writeFileSync(join(place, 'rules', name), text);
      writeFileSync(join(place, 'action'), each.action);
      writeFileSync(join(place, 'syspath'), each.syspath);
      if (each.database) {
        mkdirSync(join(place, 'data'));
        writeFileSync(join(place, 'data', each.database[0]), each.database[1]);
      }
      return place;
    });
    const { status, stderr } = spawnSync('unshare', [network ? '-mn' : '-m', 'sh', '-c', SCRIPT, 'sh', udevadm, top, empty, network ? '1' : '0'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`no namespace for udevadm: ${stderr}`);
    return places.map((place) => parseOutcome(readFileSync(join(place, 'out'), 'utf8'), readFileSync(join(place, 'log'), 'utf8')));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Why there can be no namespace, or undefined. */
export function whyNoNamespace(): string | undefined {
  const { status, stderr } = spawnSync('unshare', ['-mn', 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `unshare -mn: ${stderr.trim()}`;
}

function parseOutcome(out: string, log: string): UdevOutcome {
  const properties: Record<string, string> = {};
  const run: string[] = [];
  for (const line of out.split('\n')) {
    const command = /^run: '(.*)'$/.exec(line)?.[1];
    if (command !== undefined) run.push(command);
    const equals = line.indexOf('=');
    if (command === undefined && equals > 0 && !line.startsWith('run: ')) properties[line.slice(0, equals)] = line.slice(equals + 1);
  }
  const { DEVLINKS = '', TAGS = '', CURRENT_TAGS = '', USEC_INITIALIZED, ...rest } = properties;
  void USEC_INITIALIZED;
  const words = (text: string, separator: string) => text.split(separator).filter(Boolean).sort();
  return {
    properties: Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))),
    links: words(DEVLINKS, ' ').flatMap(ownLink).sort(),
    tags: words(TAGS, ':'), currentTags: words(CURRENT_TAGS, ':'), run, log,
    permissions: /(?:Setting|Preserve) permissions [^\n]*?, (uid=\d+, gid=\d+, mode=\d+)/.exec(log)?.[1],
  };
}

/** 252 keeps links as they are written, and makes `/etc/x` into /dev/etc/x; ours refuses and normalises as later versions do. */
function ownLink(link: string): string[] {
  const below = link.replace(/^\/dev\//, '').replace(/^\/dev\//, '');
  const parts = below.split('/').filter((part) => part !== '' && part !== '.');
  return below.startsWith('/') || parts.includes('..') || parts.length === 0 ? [] : [parts.join('/')];
}
