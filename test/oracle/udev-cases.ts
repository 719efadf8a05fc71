// Rules files that are made up, the same ones in every run: each line tries a corner of the language.

import { random } from '../random.ts';

/** What a case is about: a device, and what may be said of it. */
export type CaseDevice = {
  readonly syspath: string;
  /** Attributes that are there, and some that are not. */
  readonly attributes: readonly string[];
  readonly parentAttributes: readonly string[];
  readonly kernels: readonly string[];
  readonly parentKernels: readonly string[];
  readonly subsystems: readonly string[];
  readonly drivers: readonly string[];
};

/** One file of 4 to 14 lines for a device. */
export function ruleFile(seed: number, device: CaseDevice): string {
  const below = random(seed * 7919 + 1);
  const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T => list[below(list.length)] as T;
  const number = () => String(below(4));
  const property = () => pick(['A', 'B', 'C', '.D', 'EMPTY', 'LIST']);
  const text = (): string => pick([
    'x', 'x y', ' a  b ', 'a/b', 'ä€', 'a\\x20b', 'q:w+e-r', 'tab\\there', '$kernel', '%k', '$number', '%n', '$devpath', '$id', '$driver',
    `$attr{${pick(device.attributes)}}`, `%s{${pick(device.parentAttributes)}}`, `$env{${property()}}`, `%E{${property()}}`, '$major:$minor',
    '%M-%m', '$result', '%c{1}', '$result{2}', '%c{2+}', '%c{9}', '$parent', '%P', '$name', '%D', '$root', '%S', '$sys/x', '$devnode', '%N',
    '$tempnode', '$$', '%%', '$kernelx', 'a%kb%nc', '<>|&;', '(*)', 'a,b?c', '!~^', '[]{}', '..', "it's",
  ]);
  const value = () => (below(4) === 0 ? `${text()}${pick(['', ' ', '-', '/'])}${text()}` : text());
  const pattern = (known: readonly string[]): string => {
    const some = pick([...known, 'nothing']);
    return pick([
      some, some, some, `${some}|zzz`, `zzz|${some}`, `|${some}`, `zzz||yyy`, `${some.slice(0, 2)}*`, `*${some.slice(-2)}`, `*${some.slice(1, 3)}*`, '?*', '', '*',
      `${some.slice(0, 1)}?*`, `[${some.slice(0, 1)}z]*`, `[!${some.slice(0, 1)}]*`, `${some.slice(0, 2)}*|none`, 'sub*|bus', '[a-z]*[0-9]',
    ]);
  };
  const equals = () => pick(['==', '==', '==', '!=']);
  const match = (): string => pick([
    () => `ACTION${equals()}"${pattern(['add', 'change', 'remove'])}"`,
    () => `KERNEL${equals()}"${pattern(device.kernels)}"`,
    () => `SUBSYSTEM${equals()}"${pattern([...device.subsystems, 'subsystem', 'bus', 'class'])}"`,
    () => `DRIVER${equals()}"${pattern(device.drivers)}"`,
    () => `DEVPATH${equals()}"${pattern(['/devices/*', '*/virtual/*'])}"`,
    () => `ENV{${property()}}${equals()}"${pattern(['x', 'x y', 'a/b', '1'])}"`,
    () => `ATTR{${pick(device.attributes)}}${equals()}"${pattern(['0', '1', 'disk'])}"`,
    () => `KERNELS${equals()}"${pattern(device.parentKernels)}"`,
    () => `SUBSYSTEMS${equals()}"${pattern(device.subsystems)}"`,
    () => `DRIVERS${equals()}"${pattern(device.drivers)}"`,
    () => `ATTRS{${pick(device.parentAttributes)}}${equals()}"${pattern(['0', '1', '0x1af4'])}"`,
    () => `TEST${pick(['', '', '{0444}', '{0111}'])}${equals()}"${pick(['uevent', 'nothing', '/dev/null', '*/uevent', 'power/*/x', '[dmi/id]', '[module/nothing]', '$sys$devpath/uevent', 'subsystem'])}"`,
    () => `SYMLINK=="${pattern(['l/x', 'x', 'a_b'])}"`,
    // Of the current tags, which 252 takes for all that ever were: no more than literals, of tags that are never taken away.
    () => `TAG=="${pick(['one', 'two', 'zzz|two', 'nothing'])}"`,
    () => `RESULT${equals()}"${pattern(['one two three', 'one', 'a/b'])}"`,
    () => `NAME${equals()}"${pattern(['x'])}"`,
    () => `CONST{${pick(['arch', 'virt'])}}${equals()}"${pick(['x86*', '?*', '', 'none'])}"`,
  ] as const)();
  const program = (): string => pick([
    () => `PROGRAM${pick(['=', '==', '!='])}"${pick(['/bin/echo one two three', '/bin/echo -n a/b', "/bin/echo 'q  q' \\\"w  w\\\"", '/bin/echo ä\\x41', '/bin/false', '/bin/nothing', '/bin/sh -c \'echo $$A; exit 0\'', '/bin/echo $attr{uevent}'])}"`,
    () => `IMPORT{program}${pick(['=', '==', '!='])}"${pick(['/bin/echo P1=one', "/bin/sh -c 'echo A=new; echo B=; echo  C = 3 ; echo D=\\\"q q\\\"; echo E=\\\"bad'", '/bin/false', "/bin/sh -c 'echo =v; echo noequals; echo X1=a=b'"])}"`,
    () => `IMPORT{parent}${pick(['=', '=='])}"${pick(['[!D]*', 'DEV*', 'PCI_[!I]*', 'MODALIAS', 'nothing'])}"`,
    () => `IMPORT{db}${pick(['=', '==', '!='])}"${pick(['DBKEY', 'ID_OLD', 'NOTHERE'])}"`,
    () => `IMPORT{cmdline}${pick(['=', '!='])}"${pick(['root', 'nothing', 'console', 'quiet', 'dash_key', 'empty'])}"`,
    () => `IMPORT{file}${pick(['=', '=='])}"${pick(['/etc/os-release', '/nothing', '$sys$devpath/uevent'])}"`,
  ] as const)();
  const action = (): string => pick([
    () => `ENV{${property()}}${pick(['=', '=', '+='])}"${value()}"`,
    () => `ENV{${property()}}="${value()}"`,
    () => `ENV{${property()}}=""`,
    () => `SYMLINK${pick(['+=', '+=', '+=', '=', ':='])}"${pick(['l/', '', 'd/d/'])}${value().replace(/^\$(?:root|sys|devnode|tempnode|devpath)|^%[SNp]/, 'p$&').replaceAll('/$', '_$').replaceAll('/%', '_%')}"`,
    () => `SYMLINK+="${pick(['one two', ' lead', 'x y  z'])}"`,
    () => `TAG+="${pick(['one', 'two', 'bad tag', 'th-ree_3', '$kernel'])}"`,
    () => `TAG-="${pick(['bad tag', 'th-ree_3', '$kernel'])}"`,
    () => `TAG="${pick(['one', 'two'])}"`,
    () => `RUN${pick(['+=', '+=', '=', ':='])}"${pick(['/bin/true ', 'helper ', '/x \'q q\' '])}${value().replace(/%%|\$\$/g, '')}"`,
    () => `RUN{builtin}+="kmod load ${text()}"`,
    () => `OPTIONS+="${pick(['string_escape=none', 'string_escape=replace', 'link_priority=10', 'watch', 'nowatch', 'db_persist'])}"`,
    () => `${pick(['OWNER', 'GROUP'])}${pick(['=', ':='])}"${pick(['root', 'daemon', '0', '7', '$env{A}'])}"`,
    () => `MODE${pick(['=', ':='])}"${pick(['0600', '0666', '640', '$env{A}', '0$env{A}'])}"`,
    () => `NAME="n${value()}"`,
  ] as const)();
  const several = (make: () => string, least: number, most: number): string[] => Array.from({ length: least + below(most - least + 1) }, make);

  const lines: string[] = ['ENV{A}="x", ENV{LIST}="x y"'];
  const count = 4 + below(10);
  for (let i = 0; i < count; i++) {
    const parts = [...several(match, 0, 2), ...(below(4) === 0 ? [program()] : []), ...several(action, 1, 3)];
    // The order of the text must not matter.
    if (below(2) === 0) parts.reverse();
    if (below(8) === 0) lines.push(`${several(match, 1, 1)[0]}, GOTO="l${i}"`);
    lines.push(parts.join(pick([', ', ',', '  '])));
    if (below(2) === 0) lines.push(`LABEL="l${i - below(2)}"`);
    if (below(6) === 0) lines.push(`ENV{N${number()}}="$id:$driver:$attr{${pick(device.parentAttributes)}}"`);
  }
  return `${lines.join('\n')}\n`;
}

/** Short files, each about one corner of the language; `---` begins another file. */
export const CORNERS: readonly string[] = [
  // Kinds, not text, order the tokens.
  'SYMLINK+="$env{A}", ENV{A}="x"', 'ENV{B}="1", ENV{B}=="1"', 'RESULT=="a", PROGRAM="/bin/echo a", ENV{R}="$result"', 'OPTIONS="string_escape=replace", ENV{A}="a/b c"',
  'ENV{A}="a/b c", OPTIONS="string_escape=replace", SYMLINK+="a b/c"', 'ENV{A}="x/y"\nOPTIONS="string_escape=replace", ENV{A}+="p/q"', 'OPTIONS="string_escape=none", SYMLINK+="a(b) c d"',
  'SYMLINK+="$attr{uevent}"', 'OPTIONS="string_escape=none", SYMLINK+="$attr{uevent}"',
  // The parent stays.
  'KERNELS=="null"\nENV{I}="$id"', 'KERNELS=="null", ENV{I}="$id"\nENV{J}="$id"\nKERNELS=="zzz", ENV{X}="1"\nENV{K}="$id"', 'KERNELS=="null", ENV{I}="1"\n---\nENV{J}="$id"',
  // The gate.
  'NAME="x", PROGRAM="/bin/echo y"\nENV{R}="$result"', 'NAME="x"\nENV{R}="$name"', 'PROGRAM="/bin/echo a b c"\nENV{R}="$result{2} %c{2+} %c{4}"',
  // GOTO.
  'GOTO="end"\nENV{A}="1"\nLABEL="end", ENV{B}="2"', 'KERNEL=="zzz", GOTO="end"\nENV{A}="1"\nLABEL="end"\nLABEL="end", ENV{B}="2"', 'LABEL="back"\nENV{A}+="1"\nGOTO="back"',
  // Patterns.
  'KERNEL=="n\\ull", ENV{A}="1"', 'KERNEL=="n\\ul*", ENV{A}="1"', 'KERNEL=="n[!a]l?", ENV{A}="1"', 'KERNEL=="|null", ENV{A}="1"', 'ENV{NO}=="|x", ENV{A}="1"', 'ENV{NO}=="x|", ENV{A}="1"',
  'ENV{NO}!="x|", ENV{A}="1"', 'ENV{NO}!="?*", ENV{A}="1"', 'KERNEL=="NULL", ENV{A}="1"', 'SUBSYSTEM=="subsystem", ENV{A}="1"', 'SUBSYSTEM!="class", ENV{A}="1"', 'SUBSYSTEMS=="class", ENV{A}="1"',
  'KERNEL=="nul[k-m]", ENV{A}="1"', 'KERNEL=="nul[", ENV{A}="1"', 'DEVPATH=="/devices/*/null", ENV{A}="1"', 'KERNEL=="*", ENV{A}="1"', 'KERNEL=="*u*l", ENV{A}="1"',
  // Attributes.
  'ATTR{nothing}!="x", ENV{A}="1"', 'ATTR{dev}=="1:3", ENV{A}="1"', 'ATTR{dev}=="1:3 ", ENV{A}="1"', 'ATTR{subsystem}=="mem", ENV{A}="1"', 'ATTR{power}!="x", ENV{A}="1"',
  'ATTR{[mem/zero]dev}=="1:5", ENV{A}="1"', 'ATTR{[mem/zero]nothing}=="", ENV{A}="1"', 'ATTR{[mem/nothing]dev}!="x", ENV{A}="1"', 'ENV{A}="$attr{[mem/zero]dev}"', 'ATTR{$env{Z}dev}=="1:3", ENV{A}="1"', 'ATTR{power/control}=="auto", ENV{A}="1"',
  // TEST.
  'TEST=="dev", ENV{A}="1"', 'TEST{0222}=="dev", ENV{A}="1"', 'TEST{0222}!="dev", ENV{A}="1"', 'TEST=="[mem/zero]", ENV{A}="1"', 'TEST=="[mem/zero]/dev", ENV{A}="1"', 'TEST=="[mem/none]", ENV{A}="1"', 'TEST!="nothing", ENV{A}="1"',
  'TEST=="/sys/class/*/null", ENV{A}="1"', 'TEST=="/sys/class/*/nothing", ENV{A}="1"', 'TEST=="dev|nothing", ENV{A}="1"',
  // Substitutions.
  'ENV{A}="$kernelx %kx $$x %%x $major-%m $number|$driver|$id|$parent|$links|$root|$sys|$devnode|$tempnode|$name"', 'ENV{A}="a%Nb%Sc%rd%Pe%pf"', 'SYMLINK+="x-$attr{dev}-%E{EMPTY}-y"',
  'ENV{A}="b"\nENV{A}+="c"\nENV{A}+=""\nENV{B}+="d"\nENV{C}="$env{NO}"\nENV{D}="$env{C}x"', 'ENV{A}=""\nENV{DEVNAME}=="/dev/null", ENV{D}="1"', 'SYMLINK+="one", TAG+="t"\nENV{L}="$env{DEVLINKS} $env{CURRENT_TAGS}"',
  // IMPORT.
  'IMPORT{cmdline}="root"\nIMPORT{cmdline}="ro"\nIMPORT{cmdline}="console"\nIMPORT{cmdline}="empty"\nIMPORT{cmdline}="dash_key"\nIMPORT{cmdline}="none"', 'IMPORT{db}="DBKEY"\nIMPORT{db}="NO", ENV{X}="1"\nIMPORT{db}!="NO", ENV{Y}="1"',
  'IMPORT{program}="/bin/echo A=1", ENV{OK}="1"', 'IMPORT{program}!="/bin/echo A=1", ENV{OK}="1"', 'IMPORT{program}!="/bin/false", ENV{OK}="1"', 'IMPORT{program}="/bin/printf \'A=1\\nB=\\n=c\\nD = e \\n#F=1\\nG=\\"h i\\"\\nJ=\\"k\\nL=\'"',
  'IMPORT{program}="/usr/bin/env -u UDEV_DATABASE_VERSION"', 'PROGRAM="/usr/bin/printenv DEVNAME", ENV{R}="$result"', 'ENV{.DOT}="1"\nPROGRAM="/usr/bin/printenv .DOT", ENV{R}="$result"', 'IMPORT{program}="/bin/printf \'A=\\"\\"\\nB=\\"\\nC=\\"x\\nD=\\"\\" \\n\'"', 'IMPORT{file}="/nothing", ENV{A}="1"', 'IMPORT{file}!="/nothing", ENV{A}="1"',
  'PROGRAM="/bin/echo -e \'a\\\\tb  c*d\'", ENV{R}="$result", SYMLINK+="$result"', 'PROGRAM="/bin/echo \'a b\'c \\"d e\\"f", ENV{R}="%c"', 'PROGRAM!="/bin/false", ENV{R}="1"', 'PROGRAM="nothing", ENV{R}="1"', 'IMPORT{parent}="*", ENV{R}="1"', 'IMPORT{parent}!="*", ENV{R}="1"',
  // Freezing, and what clears.
  'SYMLINK:="a"\nSYMLINK+="b"\nSYMLINK="c"', 'RUN:="/a"\nRUN+="/b"', 'RUN+="/a"\nRUN+="/a"\nRUN{builtin}+="kmod load"', 'RUN+="/a"\nRUN="/b"', 'SYMLINK+="a b"\nSYMLINK="c"', 'TAG+="a"\nTAG="b"', 'TAG+="a"\nTAG-="a"\nTAG+="c"',
  'SYMLINK+="a"\nSYMLINK=="a", ENV{L}="1"\nSYMLINK!="b", ENV{M}="1"',
  // Limits.
  ...[500, 511, 512, 600].map((length) => `ENV{A}="${'a'.repeat(length)}"`), ...[200, 300].map((length) => `ENV{A}="${'a'.repeat(length)}"\nENV{B}="$env{A}$env{A}"\nENV{A}+="${'b'.repeat(length)}"`),
  `ENV{A}="${'a'.repeat(400)}"\nRUN+="/x $env{A}$env{A}"\nSYMLINK+="$env{A}/$env{A}/$env{A}"\nSYMLINK+="$env{A}/$env{A}"`,
];
