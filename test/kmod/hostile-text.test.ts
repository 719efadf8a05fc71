// Damaged text: every cut and seeded changes of what is read as lines. Readers of lines take any text; only limits may end them.

import { describe, expect, it } from 'vitest';

import { FormatError, LimitError, ParseError } from '../../src/errors.ts';
import { parseKernelCmdline } from '../../src/kmod/cmdline.ts';
import { ConfigBuilder, parseConfig } from '../../src/kmod/config.ts';
import { parseDepmodConfig } from '../../src/kmod/depmod-config.ts';
import { parseKallsyms } from '../../src/kmod/kernel-symbols.ts';
import { lintDepmod } from '../../src/kmod/lint-depmod.ts';
import { lintLines } from '../../src/kmod/lint-lines.ts';
import { MAX_LOADED_MODULES, parseProcModules } from '../../src/kmod/loaded.ts';
import { parseStaticNodes } from '../../src/kmod/static-nodes.ts';
import { parseSymvers, parseSystemMap } from '../../src/kmod/symvers.ts';
import { random } from '../random.ts';

type Reader = { readonly text: string; readonly read: (text: string) => unknown };

const MODPROBE_D = 'alias pci:v[0-9]d* e1000e\noptions xfs debug=1 name="a b"\nblacklist a-b\ninstall x /bin/sh -c "y" \\\n  $CMDLINE_OPTS\nremove x z\nsoftdep a pre: b c post: d\nweakdep a b\n#tsmodprobe: deny k*\n';
const DEPMOD_D = 'search updates extra built-in external\noverride m ^6\\\\.(1|12)[[:digit:]]* extra\nexternal * /opt/x\nexclude a b\ninclude x\n';
const TREE = { release: '6.12.0', paths: new Set(['kernel/m.ko', 'extra/m.ko']), isDirectory: () => true, isVendor: () => false };

const READERS: Readonly<Record<string, Reader>> = {
  'modprobe.d': { text: MODPROBE_D, read: (text) => parseConfig(text, 'f', new ConfigBuilder()) },
  'modprobe.d, by lint': { text: MODPROBE_D, read: (text) => lintLines(text, 'f') },
  'depmod.d': { text: DEPMOD_D, read: (text) => parseDepmodConfig([{ file: 'f', text }], '6.12.0') },
  'depmod.d, by lint': { text: DEPMOD_D, read: (text) => lintDepmod([{ file: 'f', text }], TREE) },
  'the kernel command line': { text: 'quiet e1000e.debug=3 "a.b=c d" x.y="z w" modprobe.blacklist=a,b-c rd.break\n', read: (text) => parseKernelCmdline(text, 'f', new ConfigBuilder()) },
  '/proc/modules': { text: 'xfs 2093056 0 - Live 0x0\nlibcrc32c 16384 2 xfs,[permanent], Loading 0x0 (OE)\nold 1 - - Unloading 0x0\n', read: (text) => parseProcModules(text, 'f') },
  'modules.devname': { text: '# nodes\nfuse fuse c10:229\ntun net/tun c10:200\nloop loop-control b7:0\n', read: parseStaticNodes },
  'Module.symvers': { text: '0x0000002a\ta\tvmlinux\tEXPORT_SYMBOL_GPL\tNS\n0x1\tb\tdrivers/b\tEXPORT_SYMBOL\t\n', read: (text) => parseSymvers(text, 'f') },
  'System.map': { text: 'c0 R __ksymtab_a\nc1 T b\nbad\nc2 R _x__ksymtab_c\n', read: (text) => parseSystemMap(text, 'f', '_') },
  '/proc/kallsyms': { text: '0 T a\n0 d v\n0 r __ksymtab_b\n0 t c\t[m]\n', read: (text) => parseKallsyms(text, new Set(['a', 'b'])) },
};

/** What a damaged file puts where it should not be. */
const PIECES = ['\0', '\\', '\\\n', '"', "'", '[', ']', '*', '(', '{', '#', '\r', '\t', ' ', '\n', '=', '.', ':', '-', '\xff', '9'.repeat(40), '__proto__', 'constructor', '['.repeat(200)];

function tolerates(read: (text: string) => unknown, text: string): void {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof LimitError || error instanceof ParseError)) throw new Error(JSON.stringify(text), { cause: error });
  }
}

describe.each(Object.entries(READERS))('%s', (_, { text, read }) => {
  it('is read when it is cut at any byte', () => {
    for (let end = 0; end <= text.length; end++) tolerates(read, text.slice(0, end));
  });

  it('is read with anything changed, put in or left out', () => {
    const next = random(31);
    for (let round = 0; round < 2000; round++) {
      let changed = text;
      for (let i = next(4); i >= 0; i--) {
        const at = next(changed.length + 1);
        changed = changed.slice(0, at) + (PIECES[next(PIECES.length)] ?? '') + changed.slice(at + next(3));
      }
      tolerates(read, changed);
    }
  });

  it('ends soon with long lines and with many', () => {
    // 256 KiB each: no reader may search the rest of the text for each of its lines.
    for (const piece of ['a', ' ', '\\', '"', '[', '*', '.', '\n', 'a \\\n', text.split('\n')[0] ?? '']) tolerates(read, piece.repeat(Math.ceil((1 << 18) / Math.max(1, piece.length))));
  }, 10_000);
});

describe('parseProcModules', () => {
  it('throws LimitError for more modules than any kernel has', () => {
    expect(() => parseProcModules('a 1 0 - Live 0x0\n'.repeat(MAX_LOADED_MODULES + 1), 'f')).toThrow(LimitError);
  });
});
