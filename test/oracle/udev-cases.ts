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
