import { describe, expect, it } from 'vitest';

import { debianKernel, runDebians, runOurs, whyNoVm } from './guests.ts';

/** Each step runs one command and records its output and exit code; the same for both guests. */
const step = (name: string, command: string) => `
{ ${command}; } > /tmp/out 2>&1; printf '== ${name} %d\\n' $? >> /tmp/steps; sed 's/^ts//' /tmp/out >> /tmp/steps
`;

/** /proc/modules without sizes and addresses. */
const LOADED = "cut -d ' ' -f 1 /proc/modules | sort | tr '\\n' ' '; echo";

/** Insertion and removal as the kernel sees them, in the words of the tool. `modprobe` is each guest's own. */
const SCRIPT = `
modprobe -ra dummy ifb 2> /dev/null
mkdir -p /etc/modprobe.d
${step('insert', `modprobe xfs && ${LOADED}`)}
${step('lsmod', 'lsmod | sort')}
${step('insert-verbose', 'modprobe -v ext4')}
${step('rmmod-used', 'rmmod libcrc32c')}
${step('rmmod-absent', 'rmmod nosuch')}
${step('remove-used', 'modprobe -r libcrc32c')}
${step('remove-holders', `modprobe -r --remove-holders libcrc32c; s=$?; ${LOADED}; exit_code $s`)}
${step('first-time', 'modprobe dummy; modprobe --first-time dummy')}
${step('remove-first-time', 'modprobe -r dummy; modprobe -r --first-time dummy')}
${step('wait-idle', 'modprobe ifb; modprobe -r -w 1000 ifb')}
${step('options', 'echo "options dummy numdummies=3" > /etc/modprobe.d/t.conf; modprobe dummy; ls -d /sys/class/net/dummy* | wc -l; modprobe -r dummy')}
${step('install', 'echo "install dummy echo installing $CMDLINE_OPTS with $MODPROBE_MODULE" > /etc/modprobe.d/t.conf; modprobe dummy a=1; modprobe -i dummy && ls -d /sys/class/net/dummy*; modprobe -r dummy').replaceAll('"install', "'install").replaceAll('MODULE"', "MODULE'")}
${step('install-false', 'echo "install dummy /bin/false" > /etc/modprobe.d/t.conf; modprobe dummy; s=$?; [ -d /sys/module/dummy ] && echo loaded; exit_code $s')}
${step('remove-command', 'echo "remove dummy echo removing" > /etc/modprobe.d/t.conf; modprobe dummy; modprobe -r dummy; modprobe -r -i dummy')}
${step('softdep', 'echo "softdep dummy pre: ifb post: tun" > /etc/modprobe.d/t.conf; modprobe -v dummy; modprobe -r -v dummy')}
${step('blacklist', 'echo "blacklist dummy" > /etc/modprobe.d/t.conf; modprobe -b dummy; [ -d /sys/module/dummy ] && echo loaded; modprobe rtnl-link-dummy; [ -d /sys/module/dummy ] && echo loaded; true')}
${step('insmod', 'rm /etc/modprobe.d/t.conf; m=$(modinfo_path dummy); insmod $m numdummies=2; ls -d /sys/class/net/dummy* | wc -l; insmod $m; rmmod dummy')}
${step('force', 'modprobe -f dummy; echo $?; modprobe -r dummy')}
vmctl put /tmp/steps
`;

/** kmod 30 names its source file and function in some messages. */
const normalized = (text: string) => text.replaceAll(/ \.\.\/libkmod\/\S+ \w+\(\) /g, ' ');

/** What came of each step, by name. */
const steps = (text: Buffer | undefined) => new Map(normalized(text?.toString('utf8') ?? '').split(/^== /m).slice(1).map((part) => [part.split(' ', 1)[0] ?? '', part]));

/** Where kmod 30 fails and newer ones and ours do not: it removes libcrc32c together with its holder, then misses it. */
const HOLDERS = 'remove-holders';
/** kmod 30 edits a decompressed copy, whose signature then does not fit; the flags of finit_module(2) leave it whole. */
const FORCE = 'force';

describe.each(['6.12', '6.1'])('the tools of kmod on %s', (series) => {
  it('do and say what Debian\'s do', async (context) => {
    const reason = whyNoVm();
    if (reason !== undefined) return context.skip(reason);
    const kernel = await debianKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    const prologue = 'exit_code() { return $1; }\nmodinfo_path() { find /lib/modules -name "$1.ko*"; }\n';
    const ours = await runOurs(kernel, `${prologue}PATH=/tools:$PATH; mkdir /tools; for t in modprobe insmod rmmod lsmod; do printf '#!/bin/sh\\nexec tskmod %s "$@"\\n' $t > /tools/$t; chmod 755 /tools/$t; done\n${SCRIPT}`);
    const theirs = await runDebians(kernel, `${prologue}PATH=/kmod:$PATH; for t in insmod rmmod lsmod; do ln -s modprobe /kmod/$t; done\n${SCRIPT}`);
    const [own, debian] = [steps(ours.files.get('steps')), steps(theirs.files.get('steps'))];
    expect(own.get(HOLDERS)).toMatch(/^remove-holders 0\n(?!.*libcrc32c)/);
    expect(own.get(FORCE)).toBe('force 0\n0\n');
    for (const name of [HOLDERS, FORCE]) for (const map of [own, debian]) map.delete(name);
    expect(own.size).toBeGreaterThan(14);
    expect(Object.fromEntries(own)).toEqual(Object.fromEntries(debian));
  });
});
