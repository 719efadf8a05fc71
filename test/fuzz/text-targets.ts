// The readers of text that `npm run fuzz` knows.

import { parseKernelCmdline } from '../../src/kmod/cmdline.ts';
import { ConfigBuilder, parseConfig } from '../../src/kmod/config.ts';
import { parseDepmodConfig } from '../../src/kmod/depmod-config.ts';
import { parseKmsgRecord } from '../../src/kmod/kmsg.ts';
import { lintLines } from '../../src/kmod/lint-lines.ts';
import { parseProcModules } from '../../src/kmod/loaded.ts';
import { parseStaticNodes } from '../../src/kmod/static-nodes.ts';
import { parseSymvers, parseSystemMap } from '../../src/kmod/symvers.ts';
import { openAnonymiser } from '../../src/machine/anonymise.ts';
import { goalsOf } from '../../src/machine/machine-goals.ts';
import { formatRecording, parseRecording } from '../../src/machine/recording.ts';
import { compileHwdb } from '../../src/udev/hwdb-compile.ts';
import { parseHwdb } from '../../src/udev/hwdb-parse.ts';
import { parseImport } from '../../src/udev/import-lines.ts';
import { parseLinkConfig } from '../../src/udev/link-config.ts';
import { parseRecord } from '../../src/udev/record-file.ts';
import { compileRules } from '../../src/udev/rules/compile.ts';
import { parseRules } from '../../src/udev/rules/parse.ts';
import { parseCaseFile } from '../../src/udev/rules/test-case.ts';
import { parseUeventFile } from '../../src/udev/uevent.ts';
import { RECORDING } from '../machine/recording-text.ts';
import type { FuzzTarget } from './fuzz.ts';

const WORDS = ['\0', '\\', '\\\n', '"', '\'', '[', ']', '*', '(', '{', '#', '\r', '\t', ' ', '\n', '=', '.', ':', '-', '\xff', '9'.repeat(40), '__proto__', '['.repeat(200)];

const text = (seeds: readonly string[], read: (text: string) => unknown, dictionary: readonly string[] = []): FuzzTarget => ({
  seeds: () => seeds.map((seed) => Buffer.from(seed, 'latin1')),
  dictionary: [...WORDS, ...dictionary],
  read: (input) => read(input.toString('latin1')),
});

const RULES = `ACTION!="remove", SUBSYSTEM=="block", KERNEL=="sd*[!0-9]|nvme*", ENV{ID_X}!="?*", IMPORT{program}="x --y $devnode", SYMLINK+="disk/by-x/$env{ID_X}"
LABEL="a"
ATTRS{idVendor}=="1d6b", ATTR{size}=="[1-9]*", TEST{0644}=="/x", PROGRAM="/bin/y %k", RESULT=="z*", OWNER="root", GROUP="disk", MODE:="0660", TAG+="t", \\
  OPTIONS+="link_priority=10,watch", GOTO="a"
RUN{builtin}+="kmod load $env{MODALIAS}", NAME="%E{X}$$", e"\\n", SYSCTL{net.x}="1", CONST{arch}=="x86"
`;
const CASES = `P: /devices/a/block/sda\nN: sda\nE: SUBSYSTEM=block\nE: DEVTYPE=disk\nA: size=100\\n\nH: bin=00ff\nL: driver=../x\n\nP: /devices/a\nE: SUBSYSTEM=pci\n\ncase: one\naction: add\n\nbuiltin: hwdb\n  A=b\n\nexpect:\nlinks: disk/x\nproperty: A=b\nmode: 0660\ntags: t\n`;

/** What is read is written so that it is read the same: the second time, as a node with `=` in its name cannot be written. */
function readRecordings(input: string): unknown {
  openAnonymiser()(input);
  const recording = parseRecording(input, 'fuzz');
  const again = formatRecording(parseRecording(formatRecording(recording), 'once'));
  if (formatRecording(parseRecording(again, 'again')) !== again) throw new Error('a recording is not what was written');
  return goalsOf(recording, { goals: ['root', 'keyboard', 'network'] });
}

export const TEXT_TARGETS: Readonly<Record<string, FuzzTarget>> = {
  recording: text([RECORDING.replace(/root=UUID=\S+/, 'root=UUID=1234-ABCD')], readRecordings, ['P: /devices/', 'A: event/', 'A: proc/mounts=/dev/sda / ext4\\n', 'L: slaves/', 'E: ID_SERIAL=', '\nS: ', 'dm/uuid=CRYPT-']),
  'modprobe.d': text(
    ['alias pci:v[0-9]d* e1000e\noptions xfs debug=1 name="a b"\nblacklist a-b\ninstall x /bin/sh -c "y" \\\n  $CMDLINE_OPTS\nremove x z\nsoftdep a pre: b c post: d\nweakdep a b\n#tsmodprobe: deny k*\n'],
    (input) => [parseConfig(input, 'f', new ConfigBuilder()), lintLines(input, 'f')], ['alias ', 'softdep ', 'pre:', 'post:', 'include '],
  ),
  'depmod.d': text(['search updates extra built-in external\noverride m ^6\\.(1|12)[[:digit:]]* extra\nexternal * /opt/x\nexclude a b\n'], (input) => parseDepmodConfig([{ file: 'f', text: input }], '6.12.0')),
  'kernel-cmdline': text(['quiet e1000e.debug=3 "a.b=c d" x.y="z w" modprobe.blacklist=a,b-c rd.break\n'], (input) => parseKernelCmdline(input, 'f', new ConfigBuilder())),
  'proc-modules': text(['xfs 2093056 0 - Live 0x0\nlibcrc32c 16384 2 xfs,[permanent], Loading 0x0 (OE)\n'], (input) => parseProcModules(input, 'f')),
  'modules.devname': text(['# nodes\nfuse fuse c10:229\ntun net/tun c10:200\n'], parseStaticNodes),
  symvers: text(['0x0000002a\ta\tvmlinux\tEXPORT_SYMBOL_GPL\tNS\n', 'c0 R __ksymtab_a\nc1 T b\n'], (input) => [parseSymvers(input, 'f'), parseSystemMap(input, 'f', '_')]),
  kmsg: text(['6,339,5140900,-;NET: Registered\\x0a protocol\n SUBSYSTEM=x\n'], parseKmsgRecord),
  'uevent-file': text(['MAJOR=8\nMINOR=0\nDEVNAME=sda\nMODALIAS=pci:v1\n'], (input) => [...parseUeventFile(input)]),
  rules: text([RULES], (input) => {
    const { rules, problems, isDropped } = parseRules(Buffer.from(input, 'latin1'), 'f');
    compileRules({ files: [rules] });
    return [problems, isDropped];
  }, ['==', '!=', '+=', ':=', 'ATTR{', 'IMPORT{', '$env{', '%E{', 'GOTO=', 'e"', 'i"']),
  'rule-cases': text([CASES], (input) => parseCaseFile(input, 'f'), ['P: ', 'E: ', 'A: ', 'H: ', 'case: ', 'expect:\n']),
  record: text(['S:disk/by-id/x\nL:10\nI:123\nE:A=b\nG:t\nQ:t\nV:1\n'], (input) => [...parseRecord(input, 'f').properties], ['S:', 'E:', 'W:', 'V:']),
  import: text(['A=b\n# c\nD="e f"\nG=\'h\'\nbad\n'], (input) => [...parseImport(input).properties]),
  'hwdb-text': text(['# c\nusb:v1D6B*\nusb:v1D6Bp0002*\n ID_VENDOR=x\n ID_MODEL= two # y\n\nevdev:name:[Aa]b?:*\n KEY_1=esc\n'], (input) => compileHwdb([parseHwdb(input, 'f')]).length),
  'link-file': text(['[Match]\nOriginalName=!en* wl*\nMACAddress=00:11:22:33:44:55\n[Link]\nNamePolicy=keep database path\nName=x0\nMACAddressPolicy=none\nMACAddress=1:2:3:4:5:6\nAlternativeName=y\n'], (input) => parseLinkConfig(input, 'f')),
};
