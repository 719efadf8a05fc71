// The checks of lint, each on lines of modprobe.d over a small tree of modules.

import { join } from 'node:path';
import { symlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { lint } from '../../src/kmod/lint.ts';
import { lintLines } from '../../src/kmod/lint-lines.ts';
import { editDistance, nearestName } from '../../src/kmod/nearest.ts';
import { valueProblem } from '../../src/kmod/parameter-type.ts';
import { openTree } from '../../src/kmod/tree-source.ts';
import { openSystem } from '../../src/system.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { random } from '../random.ts';
import { buildModule } from './elf-builder.ts';

const RELEASE = '6.12.0-test';
const TREE = `lib/modules/${RELEASE}`;
const MODULES: Readonly<Record<string, string | Uint8Array>> = {
  [`${TREE}/modules.dep`]: [
    'kernel/e1000e.ko:', 'kernel/usbhid.ko: kernel/hid.ko', 'kernel/hid.ko:', 'kernel/hid-sony.ko: kernel/usbhid.ko kernel/hid.ko', 'kernel/hid-lg.ko: kernel/hid.ko',
    'kernel/hid-asus.ko: kernel/hid.ko', 'kernel/soft.ko:', 'kernel/pcspkr.ko:', '',
  ].join('\n'),
  [`${TREE}/modules.alias`]: 'alias pci:v8086* e1000e\nalias net-e1000 e1000e\n',
  [`${TREE}/modules.softdep`]: 'softdep soft pre: hid\n',
  [`${TREE}/modules.builtin`]: 'kernel/i8042.ko\n',
  [`${TREE}/kernel/e1000e.ko`]: buildModule({
    modinfo: ['parm=debug:Level', 'parmtype=debug:int', 'parmtype=IntMode:array of int', 'parmtype=on:bool', 'parmtype=name:charp', 'parmtype=odd:xint'],
    needs: [{ name: '__param_str_hidden' }], sections: [{ name: '__param', data: new Uint8Array(8) }],
  }),
  [`${TREE}/kernel/pcspkr.ko`]: buildModule({ modinfo: ['license=GPL'] }),
  [`${TREE}/kernel/hid.ko`]: 'no module',
};

type Files = Readonly<Record<string, string | Uint8Array>>;

/** What is said of a root, one line a finding, paths below the root. */
async function lintRoot(files: Files, prepare: (root: string) => void = () => undefined): Promise<string[]> {
  const root = fixtureRoot(files);
  prepare(root);
  const system = openSystem({ root, release: RELEASE, native: openFakeNative(), log: recordingLog() });
  const { findings } = await lint(system, openTree(system));
  return findings.map(({ file, line, severity, code, message }) => `${file}:${line ?? ''} ${severity} ${code}: ${message}`.replaceAll(`${root}/`, ''));
}

/** The same of one file of the administrator, without its name. */
async function lintText(lines: readonly string[], more: Files = {}): Promise<string[]> {
  const found = await lintRoot({ ...MODULES, 'etc/modprobe.d/x.conf': `${lines.join('\n')}\n`, ...more });
  return found.map((text) => text.replaceAll('etc/modprobe.d/x.conf:', '').replaceAll(`${TREE}/`, ''));
}

describe('lint of depmod.d', () => {
  const TREE_FILES = {
    ...MODULES, [`${TREE}/updates/pcspkr.ko.xz`]: '', [`${TREE}/extra/e1000e.ko`]: '', [`${TREE}/kernel/hid-lg.ko`]: '', 'opt/ext/x.ko': '',
  };
  const lintDepmodText = async (lines: readonly string[], more: Files = {}) => (await lintRoot({ ...TREE_FILES, 'etc/depmod.d/x.conf': `${lines.join('\n')}\n`, ...more }))
    .map((text) => text.replaceAll('etc/depmod.d/x.conf:', ''));

  it('names lines that are skipped, and words that are dropped', async () => {
    expect(await lintDepmodText(['serach updates', 'Search updates', 'override pcspkr *', 'external *', 'search', 'exclude', 'include x', 'make_map_files no', '  # indented', '# fine', '',
      'override pcspkr * kernel more', 'exclude hid.ko # why'])).toEqual([
      "1 error unknown-directive: line skipped: unknown directive 'serach' (did you mean search?)",
      "2 error unknown-directive: line skipped: unknown directive 'Search' (did you mean search?)",
      "3 error bad-line: line skipped: it must read 'override MODULE RELEASE DIRECTORY'",
      "4 error bad-line: line skipped: it must read 'external RELEASE DIRECTORY'",
      "5 error bad-line: no effect: it must read 'search DIRECTORY…'",
      "6 error bad-line: no effect: it must read 'exclude NAME…'",
      '7 error not-implemented: no effect: no depmod of today knows include; all *.conf files of the directory are read',
      '8 error not-implemented: no effect: no depmod of today knows make_map_files',
      '9 note indented-comment: a comment that does not begin the line: depmod complains of it each time, and skips it',
      "12 error extra-words: 'more' is dropped: it must read 'override MODULE RELEASE DIRECTORY'",
      '13 error trailing-comment: a comment must be a line of its own: what follows # here is read as a part of the directive',
      '13 warning exclude-nothing: #: no effect: nothing in the tree has that name',
      '13 warning exclude-nothing: why: no effect: nothing in the tree has that name',
    ]);
  });

  it('knows what a search list cannot find', async () => {
    expect(await lintDepmodText(['search updates updates/ /opt/x nosuch external built-in', 'search extra updates'])).toEqual([
      '1 error search-nothing: updates/: no effect: depmod wants no slash at the end (updates)',
      '1 error search-nothing: /opt/x: no effect: directories are named below the tree; others need an external line',
      '1 warning search-nothing: nosuch: no effect: there is no such directory in the tree',
      '1 warning search-nothing: external: no effect: there is no external line',
      '2 warning search-twice: does not replace line 1: its directories come behind those, with lower priority',
      '2 note duplicate: updates: stands in line 1 already, which counts',
    ]);
  });

  it('looks for what an override names', async () => {
    expect(await lintDepmodText(['override pcspkr * updates', 'override nosuch * kernel', 'override pcspkr * extra', 'override pcspkr.ko * kernel', 'override pcspkr * /kernel', 'override hid_lg * kernel',
      'override soft * kernel', 'override hid * kernel', 'override pcspkr ( kernel', 'override nosuch ^5\\\\. kernel', 'override e1000e * kernel', 'override e1000e ^6 extra'])).toEqual([
      '2 warning no-such-module: no effect: there is no module nosuch in the tree',
      '3 warning override-nothing: no effect: extra holds no file of pcspkr (it is kernel/pcspkr.ko, updates/pcspkr.ko.xz)',
      '4 error override-nothing: no effect: pcspkr.ko is a file; name the module: pcspkr',
      '5 error override-nothing: no effect: /kernel: directories are named below the tree, without a slash at either end',
      '6 error override-nothing: no effect: the module must be named as its file is: hid-lg',
      '7 warning no-such-module: no effect: there is no module soft in the tree',
      '8 note override-nothing: no effect: kernel/hid.ko is the only file of hid',
      "9 error bad-release: no effect: '(' matches no kernel: it must be * or an extended regular expression, such as ^6\\.12\\.",
      '11 warning override-twice: no effect: line 12 overrides the same module, and the later line counts',
    ]);
  });

  it('looks for external directories, and for names that are excluded', async () => {
    expect(await lintDepmodText(['external * /opt/ext', 'external * /opt/none', 'external * opt/ext', 'external [ /opt/ext', 'exclude pcspkr.ko hid kernel/hid.ko extra nosuch'])).toEqual([
      '1 note external-unlisted: modules of /opt/ext never replace those of the tree: no search line has the word external',
      '2 warning external-nothing: no effect: there is no directory /opt/none',
      '3 error external-nothing: opt/ext must begin with a slash: depmod looks for it below the directory that it is called in',
      "4 error bad-release: no effect: '[' matches no kernel: it must be * or an extended regular expression, such as ^6\\.12\\.",
      '5 error exclude-nothing: hid: no effect: the file must be named as it is: hid.ko',
      '5 error exclude-nothing: kernel/hid.ko: no effect: exclude takes names of files and directories, not paths',
      '5 warning exclude-nothing: nosuch: no effect: nothing in the tree has that name',
    ]);
  });

  it('tells of files that are not read, and is mild with those of a distribution', async () => {
    expect(await lintDepmodText(['search updates built-in'], {
      'usr/lib/depmod.d/x.conf': 'search a\n', 'usr/lib/depmod.d/dist.conf': 'search nosuch\noverride nosuch * kernel\nexclude nosuch\n', 'etc/depmod.d/sub.conf/a': '', 'etc/depmod.d/local': '',
    })).toEqual([
      'etc/depmod.d/local: warning unread-file: not read: the name does not end in .conf (rename it to local.conf, or move it away)',
      'etc/depmod.d/sub.conf: warning unread-directory: not read: directories inside of depmod.d are passed over, with all files in them',
      '1 warning search-twice: does not replace usr/lib/depmod.d/dist.conf:1: its directories come behind those, with lower priority',
      'usr/lib/depmod.d/dist.conf:1 note search-nothing: nosuch: no effect: there is no such directory in the tree',
      'usr/lib/depmod.d/dist.conf:2 note no-such-module: no effect: there is no module nosuch in the tree',
      'usr/lib/depmod.d/dist.conf:3 note exclude-nothing: nosuch: no effect: nothing in the tree has that name',
      'usr/lib/depmod.d/x.conf: note shadowed-file: not read: etc/depmod.d/x.conf has the same name and is read in its place',
    ]);
  });
});

describe('lint of blacklist lines', () => {
  it('tells what still loads a module, and how to refuse it', async () => {
    expect(await lintText(['blacklist hid', 'blacklist usbhid'])).toEqual([
      '1 warning blacklist-bypassed: blacklist only stops loads by alias: hid is still loaded with hid_asus, hid_lg, hid_sony and 1 more (need it), soft (softdep), and by `modprobe hid`; '
      + 'to refuse it always: `#tsmodprobe: deny hid`, or for kmod too `install hid /bin/false`',
      '2 warning blacklist-bypassed: blacklist only stops loads by alias: usbhid is still loaded with hid_sony (needs it), and by `modprobe usbhid`; '
      + 'to refuse it always: `#tsmodprobe: deny usbhid`, or for kmod too `install usbhid /bin/false`',
    ]);
  });

  it('has one note for all that nothing else needs, and nothing on what is refused as well', async () => {
    expect(await lintText(['blacklist pcspkr', 'blacklist e1000e', 'blacklist hid', '#tsmodprobe: deny hi?', 'blacklist soft', 'install soft /bin/false', 'blacklist pcspkr'])).toEqual([
      '1 note blacklist: blacklist only stops loads by alias: no other module needs pcspkr, e1000e, but `modprobe NAME` still loads them; '
      + 'to refuse them always: `#tsmodprobe: deny NAME`, or for kmod too `install NAME /bin/false`',
      '6 warning install-with-softdep: kmod does not run this for soft, because it has softdeps (modules.softdep:1), and loads it; tsmodprobe does run it',
      '6 note install-refuses: `#tsmodprobe: deny soft` refuses it with a reason, and needs no shell',
      '7 note duplicate: pcspkr is blacklisted in line 1 already',
    ]);
  });

  it('finds names that no blacklist can stop', async () => {
    expect(await lintText(['blacklist i8042', 'blacklist psckpr', 'blacklist e1000e.ko', 'blacklist net-e1000', 'blacklist hid*', 'blacklist pcspkr soft'])).toEqual([
      '1 error builtin: no effect: i8042 is built into the kernel (initcall_blacklist= on the kernel command line can stop its initialisation)',
      '2 warning no-such-module: no effect: there is no module psckpr (did you mean pcspkr?)',
      '3 warning no-such-module: no effect: there is no module e1000e.ko (did you mean e1000e?)',
      '4 error blacklist-alias: no effect: net_e1000 is an alias, and blacklist takes names of modules (it leads to e1000e)',
      '5 error blacklist-pattern: blacklist takes no patterns: hid* is no module (`#tsmodprobe: deny hid*`, or for kmod too `install hid* /bin/false` take them)',
      "6 error extra-words: blacklist takes one name: 'soft' is dropped",
      '6 note blacklist: blacklist only stops loads by alias: no other module needs pcspkr, but `modprobe NAME` still loads it; '
      + 'to refuse it always: `#tsmodprobe: deny pcspkr`, or for kmod too `install pcspkr /bin/false`',
    ]);
  });

  it('reads the kernel command line, where kmod takes no dashes', async () => {
    expect(await lintText([], { 'proc/cmdline': 'quiet modprobe.blacklist=hid-sony e1000e.debgu=1 systemd.unit=x i8042.nopnp\n' })).toEqual([
      'proc/cmdline: warning cmdline-dash: modprobe.blacklist=hid-sony: kmod does not take - for _ here, and loads the module; write hid_sony',
      'proc/cmdline: note blacklist: blacklist only stops loads by alias: no other module needs hid_sony, but `modprobe NAME` still loads it; '
      + 'to refuse it always: `#tsmodprobe: deny hid_sony`, or for kmod too `install hid_sony /bin/false`',
      'proc/cmdline: error no-such-parameter: no effect: e1000e has no parameter debgu (did you mean debug?)',
    ]);
  });

  it('tells of deny lines what they refuse beyond the module, and what they cannot', async () => {
    expect(await lintText(['#tsmodprobe: deny usbhid i8042 nosuch x* net-e1000 pcspkr', '# tsmodprobe: deny soft', '#tsmodprobe: denny soft'])).toEqual([
      '1 note deny-needed: refuses also what needs usbhid: hid_sony',
      '1 error builtin: no effect: i8042 is built into the kernel',
      '1 warning no-such-module: no effect: there is no module nosuch',
      '1 warning no-such-module: no effect: no module matches x*',
      '1 error deny-alias: no effect: net_e1000 is an alias, and deny takes names of modules',
      '2 warning bad-own-line: only a comment: no blank may stand between # and tsmodprobe:',
      "3 error bad-own-line: line skipped: it must read '#tsmodprobe: deny MODULE…'",
    ]);
  });
});

describe('lint of options lines', () => {
  it('takes what a module has, under its own name and its exact alias', async () => {
    expect(await lintText([
      'alias eth0 e1000e', 'options e1000e debug=-3 IntMode=1,0x2 on name="a b" odd=y hidden=1 dyndbg=+p', 'options eth0 debug=1', 'options net-e1000 debug=1',
    ])).toEqual([]);
  });

  it('finds parameters that a module does not have, and values that it refuses', async () => {
    expect(await lintText(['options e1000e Debug=1 debug=x debug IntMode=1,,2 on=maybe', 'options eth1 a=1', 'options pcspkr a=1', 'options net-e1000 nix', 'options e1000e debug=1 # why'])).toEqual([
      '1 error no-such-parameter: no effect: e1000e has no parameter Debug (did you mean debug?)',
      "1 error bad-value: e1000e will not load: its parameter debug is of type int and does not take 'x'",
      '1 error bad-value: e1000e will not load: its parameter debug needs a value (int)',
      "1 error bad-value: e1000e will not load: its parameter IntMode is of type array of int and does not take ''",
      "1 error bad-value: e1000e will not load: its parameter on is of type bool and does not take 'maybe'",
      '2 warning no-such-module: no effect: there is no module eth1',
      '3 error no-such-parameter: no effect: pcspkr has no parameter a (it has none)',
      '4 error no-such-parameter: no effect: e1000e has no parameter nix',
      '5 error trailing-comment: a comment must be a line of its own: what follows # here is read as a part of the directive',
    ]);
  });

  it('sends options of built-in modules to the kernel command line', async () => {
    expect(await lintText(['options i8042 nopnp name="a b"', 'options hid* x', 'options pci:v8086d1 x'])).toEqual([
      '1 error builtin: no effect: i8042 is built into the kernel; its parameters go on the kernel command line: i8042.nopnp i8042.name="a b"',
      '2 error options-pattern: no effect: options takes no patterns, and hid* is no module',
      '3 error options-alias: no effect: pci:v8086d1 is no module (it leads to e1000e; name the module itself)',
    ]);
  });

  it('says which module it could not read', async () => {
    const [found, ...others] = await lintText(['options hid a=1']);
    expect(found).toMatch(/^kernel\/hid\.ko: warning unreadable-module: could not be read, so that its options were not checked: /);
    expect(others).toEqual([]);
  });
});

describe('lint of alias lines', () => {
  it('finds those that lead nowhere or elsewhere', async () => {
    expect(await lintText([
      'alias a e1000e', 'alias a pcspkr', 'alias a e1000e', 'alias b a', 'alias c net-e1000', 'alias d off', 'alias e nosuch', 'alias soft hid', 'alias hid hid', 'alias f i8042', 'alias g e1000e x',
    ])).toEqual([
      '2 warning alias-twice: does not replace line 1: a now loads e1000e and pcspkr',
      '3 note duplicate: the same alias stands in line 1',
      '4 error alias-of-alias: dead: a is itself an alias (line 1) and is not followed; name e1000e here',
      '5 error alias-of-alias: dead: net_e1000 is itself an alias and is not followed; name the module here: e1000e',
      "6 warning alias-off: off is no keyword: d leads to a module of that name, which is not there; say `blacklist` or `#tsmodprobe: deny` with the module's name",
      '7 warning no-such-module: dead: there is no module nosuch',
      '8 warning alias-hides-module: hides the module soft: `modprobe soft` now loads hid',
      '9 note alias-of-itself: without effect: hid is its own name',
      "11 error extra-words: alias takes two names: 'x' is dropped",
    ]);
  });
});

describe('lint of install, remove, softdep and weakdep lines', () => {
  it('finds commands that do not run, and those that should be deny', async () => {
    expect(await lintText([
      'install pcspkr /bin/true', 'install soft echo', 'install hid modprobe hid && echo', 'install e1000e /sbin/modprobe --ignore-install e1000e; echo', 'install e1000e echo twice',
      'install i8042 echo', 'remove i8042 echo', 'remove nosuch echo', 'install virtual echo', 'remove virtual echo',
    ])).toEqual([
      '1 note install-refuses: modprobe then reports success, and pcspkr is not loaded; `#tsmodprobe: deny pcspkr` refuses it with a reason, and needs no shell',
      '2 warning install-with-softdep: kmod does not run this for soft, because it has softdeps (modules.softdep:1), and loads it; tsmodprobe does run it (--strict-kmod does not)',
      '3 error install-recursion: runs modprobe hid again, which runs this command again, without end; say modprobe --ignore-install hid',
      '5 error command-hidden: never runs: the first install line for e1000e holds, line 4',
      '6 error builtin: never runs: i8042 is built into the kernel, and modprobe has nothing to do',
      '7 error builtin: never runs: i8042 is built into the kernel and cannot be removed',
      '8 warning no-such-module: there is no module nosuch',
    ]);
  });

  it('finds softdeps that name nothing, and those of which kmod takes one only', async () => {
    expect(await lintText([
      'softdep soft pre: e1000e nosuch', 'softdep soft post: pcspkr', 'softdep i8042 pre: hid', 'softdep pcspkr hid', 'softdep nothing pre: hid', 'softdep net-e1000 pre: hid',
      'weakdep soft hid nope', 'weakdep none hid',
    ])).toEqual([
      '1 warning no-such-module: nosuch is passed over: no module and no alias has that name',
      '1 warning softdep-twice: kmod takes only the first softdep line for soft, modules.softdep:1; tsmodprobe takes all',
      '2 warning softdep-twice: kmod takes only the first softdep line for soft, modules.softdep:1; tsmodprobe takes all',
      '3 error builtin: no effect: i8042 is built into the kernel, and modprobe never loads it',
      "4 error softdep-without-keyword: 'hid' is dropped: it must follow pre: or post:",
      '5 warning no-such-module: no effect: there is no module nothing',
      '6 error softdep-alias: no effect: net_e1000 is an alias, and softdep takes names of modules first (it leads to e1000e)',
      '7 warning no-such-module: nope is passed over: no module and no alias has that name',
      '8 warning no-such-module: no effect: there is no module none',
    ]);
  });

  it('tells when a line hides what the module itself asks for', async () => {
    expect(await lintRoot({ ...MODULES, 'etc/modprobe.d/a.conf': 'softdep soft pre: e1000e\n' })).toEqual([
      `etc/modprobe.d/a.conf:1 warning softdep-hides: for kmod this hides the softdeps that soft itself asks for (${TREE}/modules.softdep:1); tsmodprobe takes all`,
    ]);
  });
});

describe('lint of files', () => {
  it('tells which are not read, and which one wins', async () => {
    const prepare = (root: string) => symlinkSync('nowhere', join(root, 'etc/modprobe.d/dangling.conf'));
    expect(await lintRoot({
      ...MODULES, 'etc/modprobe.d/a.conf': '', 'etc/modprobe.d/b.conf': '# b\n', 'etc/modprobe.d/.c.conf': '', 'etc/modprobe.d/d': '', 'etc/modprobe.d/e.conf~': '', 'etc/modprobe.d/f.conf/g.conf': '',
      'run/modprobe.d/b.conf': '', 'usr/lib/modprobe.d/a.conf': 'bogus\n', 'usr/lib/modprobe.d/b.conf': '', 'usr/lib/modprobe.d/v.conf': 'options nosuch a=1\nblacklist nosuch\nsoftdep soft pre: pcspkr nosuch\n',
    }, prepare)).toEqual([
      'etc/modprobe.d/.c.conf: note unread-file: not read: the name begins with a dot',
      'etc/modprobe.d/d: warning unread-file: not read: the name does not end in .conf (rename it to d.conf, or move it away)',
      'etc/modprobe.d/dangling.conf: error unreadable: could not be read: the link leads nowhere',
      'etc/modprobe.d/e.conf~: note unread-file: not read: the name does not end in .conf',
      'etc/modprobe.d/f.conf: warning unread-directory: not read: directories inside of modprobe.d are passed over, with all files in them',
      'run/modprobe.d/b.conf: warning shadowed-file: not read: etc/modprobe.d/b.conf has the same name and is read in its place',
      'usr/lib/modprobe.d/a.conf: note shadowed-file: masked: etc/modprobe.d/a.conf is empty and is read in its place',
      'usr/lib/modprobe.d/b.conf: note shadowed-file: not read: etc/modprobe.d/b.conf has the same name and is read in its place',
      'usr/lib/modprobe.d/v.conf:1 note no-such-module: no effect: there is no module nosuch',
      'usr/lib/modprobe.d/v.conf:2 note no-such-module: no effect: there is no module nosuch',
      'usr/lib/modprobe.d/v.conf:3 note no-such-module: nosuch is passed over: no module and no alias has that name',
      `usr/lib/modprobe.d/v.conf:3 note softdep-twice: kmod takes only the first softdep line for soft, ${TREE}/modules.softdep:1; tsmodprobe takes all`,
    ]);
  });

  it('knows lib and usr/lib for one directory where they are', async () => {
    expect(await lintRoot({ 'usr/lib/modprobe.d/a.conf': '# a\n', [`usr/${TREE}/modules.dep`]: 'kernel/x.ko:\n' }, (root) => symlinkSync('usr/lib', join(root, 'lib')))).toEqual([]);
  });

  it('says that there is no index, and nothing of modules', async () => {
    expect(await lintRoot({ 'etc/modprobe.d/a.conf': 'blacklist x\n' })).toEqual([
      `${TREE}: error no-index: no index of modules here (depmod makes one, -S names another release): nothing was checked against modules`,
    ]);
  });
});

describe('lintLines', () => {
  const read = (text: string) => lintLines(text, 'x').map(({ line, severity, message }) => `${line} ${severity} ${message}`);

  it('names the directive that was meant, or what it wants', () => {
    expect(read('balcklist x\nOptions x y\nfrobnicate\ninclude y\n # in\nalias\nalias a[ b\noptions x\ndeny x\n')).toEqual([
      "1 error line skipped: unknown directive 'balcklist' (did you mean blacklist?)", "2 error line skipped: unknown directive 'Options' (did you mean options?)",
      "3 error line skipped: unknown directive 'frobnicate'", '4 error line skipped: include does not exist any more; all *.conf files of the directory are read',
      '5 note a comment that does not begin the line: modprobe complains of it each time, and skips it', "6 error line skipped: it must read 'alias PATTERN MODULE'",
      "7 error line skipped: it must read 'alias PATTERN MODULE'; the brackets in 'a[' do not match", "8 error line skipped: it must read 'options MODULE PARAMETER…'",
      "9 error line skipped: unknown directive 'deny' (it is written '#tsmodprobe: deny x')",
    ]);
  });

  it('finds what lines swallow', () => {
    expect(read('# a \\\nblacklist x\nblacklist y\r\nblacklist z\r\ninstall a b # c\n')).toEqual([
      '2 warning the comment goes on to this line: line 1 ends in a backslash',
      '3 error the line ends in a carriage return, which becomes a part of its last word (a file of DOS or Windows?); said once for the file',
    ]);
  });

  it('survives any text', () => {
    const next = random(5);
    const pieces = ['alias', 'options', 'softdep', 'pre:', 'toString', '#tsmodprobe:', 'deny', '\\', '\n', ' ', '\r', '[', ']', '#', 'x', '\0', '\u00ff'];
    for (let round = 0; round < 1000; round++) lintLines(Array.from({ length: next(30) }, () => pieces[next(pieces.length)]).join(''), 'x');
  });
});

describe('valueProblem', () => {
  it.each<[string, string | undefined]>([
    ['bool', undefined], ['bint', undefined], ['bool', 'Y'], ['bool', 'off'], ['invbool', '0'], ['int', '-2147483648'], ['int', '+1'], ['int', '0x7fffffff'], ['uint', '4294967295'], ['int', '010'],
    ['hexint', 'ff'], ['byte', '255'], ['ullong', '18446744073709551615'], ['array of charp', 'a,,b'], ['charp', ''], ['xint', 'anything'], ['xint', undefined], ['array of ushort', '1,2'],
  ])('lets %s take %j', (type, value) => {
    expect(valueProblem(type, value)).toBeUndefined();
  });

  it.each<[string, string | undefined]>([
    ['invbool', undefined], ['bool', ''], ['bool', '2'], ['bool', 'o'], ['int', undefined], ['int', ''], ['int', '2147483648'], ['int', '1 '], ['int', '08'], ['int', '1,2'], ['uint', '-1'],
    ['byte', '256'], ['ullong', '18446744073709551616'], ['int', '9'.repeat(100)], ['array of int', undefined], ['array of int', '1,x'], ['charp', 'x'.repeat(1025)], ['string', undefined],
  ])('does not let %s take %s', (type, value) => {
    expect(valueProblem(type, value)).toBeTypeOf('string');
  });
});

describe('nearestName', () => {
  it('takes the nearest within one edit in three letters', () => {
    expect(nearestName('r8196', ['r8152', 'r8169', 'e1000'])).toBe('r8169');
    expect(nearestName('E1000E', ['e1000', 'e1000e'])).toBe('e1000e');
    expect([nearestName('ab', ['ac']), nearestName('snd', ['usb']), nearestName('x'.repeat(65), ['x'.repeat(65)])]).toEqual([undefined, undefined, undefined]);
    expect([editDistance('', 'abc'), editDistance('kitten', 'sitting'), editDistance('balcklist', 'blacklist')]).toEqual([3, 3, 1]);
  });
});
