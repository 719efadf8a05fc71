import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { depmod } from '../../src/kmod/depmod.ts';
import { CACHE_NAME, formatCache, parseCache } from '../../src/kmod/depmod-cache.ts';
import { parseDepmodConfig } from '../../src/kmod/depmod-config.ts';
import { orderModules } from '../../src/kmod/depmod-order.ts';
import { isModuleFile, type ModulePath, staysFirst } from '../../src/kmod/depmod-priority.ts';
import { contentSignature, signaturesOf } from '../../src/kmod/depmod-signature.ts';
import { sortDependencies } from '../../src/kmod/depmod-sort.ts';
import { DepmodSymbols } from '../../src/kmod/depmod-symbols.ts';
import { DEPMOD_FILES, type DepmodData } from '../../src/kmod/depmod-write.ts';
import { ElfFile } from '../../src/kmod/elf.ts';
import { inHashOrder, superFastHash } from '../../src/kmod/hash-order.ts';
import { buildIndex } from '../../src/kmod/index-build.ts';
import { IndexFile } from '../../src/kmod/index-file.ts';
import { FactsEncoder, factsOf, type ModuleFacts, textOf } from '../../src/kmod/module-facts.ts';
import { parseSymvers, parseSystemMap } from '../../src/kmod/symvers.ts';
import { openSystem } from '../../src/system.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { random } from '../random.ts';
import { buildModule, type ModuleSpec } from './elf-builder.ts';

const facts = (spec: ModuleSpec): ModuleFacts => factsOf(new FactsEncoder().encode(new ElfFile(buildModule(spec), 'x.ko')), 'x.ko');
const module = (relative: string, name = relative.replace(/^.*\/|\..*$/g, '').replaceAll('-', '_')): ModulePath => ({ name, relative, path: `/tree/${relative}` });

describe('parseDepmodConfig', () => {
  it('keeps the first written of a search line highest, and later lines above earlier ones', () => {
    const config = parseDepmodConfig([{ file: 'a.conf', text: 'search updates built-in\n# no\nsearch x external\noverride m * dir\noverride n ^9 dir\nexternal * /ext\nexclude a b\n' }], '6.1');
    expect(config).toEqual({
      search: [{ kind: 'external' }, { kind: 'directory', path: 'x' }, { kind: 'built-in' }, { kind: 'directory', path: 'updates' }],
      overrides: ['dir/m'], externals: ['/ext'], excludes: new Set(['a', 'b']),
      problems: [{ level: 'info', file: 'a.conf', line: 5, message: 'a.conf:5: override kernel did not match ^9' }],
    });
  });

  it('searches updates where nothing is said, and tells of lines it cannot read', () => {
    const { search, problems } = parseDepmodConfig([{ file: 'a.conf', text: 'foo x\noverride m *\ninclude y\n' }], '6.1');
    expect(search).toEqual([{ kind: 'directory', path: 'updates' }]);
    expect(problems.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "error a.conf:1: ignoring bad line starting with 'foo'", "error a.conf:2: ignoring bad line starting with 'override'", 'info a.conf:3: command include not implemented yet',
    ]);
  });

  it.each([
    ['*', true], ['6', true], ['^6\\.[0-9]+', true], ['^6\\\\.[0-9]+', true], ['^5', false], ['[[:digit:]]+-amd64$', true], ['(', false], ['[', false], ['[]x]', false], ['[^]x]', true], ['6.1|7', true],
  ])('compares the release with %s', (pattern, matches) => {
    expect(parseDepmodConfig([{ file: 'a', text: `override m ${pattern} d\n` }], '6.1.0-56-amd64').overrides.length === 1).toBe(matches);
  });
});

describe('staysFirst', () => {
  const stays = (config: string, old: string, added: string) => staysFirst(module(old), module(added), parseDepmodConfig([{ file: 'c', text: config }], '1'));
  it('follows overrides, then the search list, then who was first', () => {
    expect(stays('', 'kernel/m.ko', 'updates/m.ko')).toBe(false);
    expect(stays('', 'updates/m.ko', 'kernel/m.ko')).toBe(true);
    expect(stays('', 'kernel/m.ko', 'extra/m.ko')).toBe(true);
    expect(stays('search built-in updates', 'kernel/m.ko', 'updates/m.ko')).toBe(true);
    expect(stays('override m * kernel', 'updates/m.ko', 'kernel/m.ko')).toBe(false);
    expect(stays('override m * kernel', 'kernel/m.ko.xz', 'updates/m.ko')).toBe(true);
    expect(stays('search upd built-in', 'kernel/m.ko', 'updates/m.ko')).toBe(true);
  });
});

describe('isModuleFile', () => {
  it('knows modules by their extensions', () => {
    expect(['a.ko', 'a.ko.gz', 'a.ko.xz', 'a.ko.zst', '.ko', 'a.ko.bz2', 'ko', 'a.o'].filter(isModuleFile)).toEqual(['a.ko', 'a.ko.gz', 'a.ko.xz', 'a.ko.zst']);
  });
});

describe('depmod', () => {
  it('tells how far it has come', async () => {
    const release = '6.1';
    const modules = ['a', 'b', 'c'].map((name) => [`lib/modules/${release}/kernel/${name}.ko`, buildModule({})] as const);
    const root = fixtureRoot(Object.fromEntries(modules));
    const lines: string[] = [];
    const { outcome } = await depmod(openSystem({ root, release, log: recordingLog() }), { directory: join(root, 'lib/modules', release), release, onProgress: (line) => lines.push(line) });
    expect([outcome, ...lines]).toEqual(['written', 'reading modules: 1 of 3', 'reading modules: 2 of 3', 'reading modules: 3 of 3', 'making indexes']);
  });
});

describe('superFastHash', () => {
  it('is the published function, with signed last bytes', () => {
    const hash = (text: string) => superFastHash(Buffer.from(text, 'latin1'), 0, text.length);
    expect(['', 'a', 'ab', 'abc', 'abcd', 'crc32c_generic', '\xff', '\xff\xfe\xfd'].map(hash)).toEqual(EXPECTED_HASHES);
  });

  it('orders names by bucket, then bytewise', () => {
    expect(inHashOrder(['b', 'a', 'c'], 1)).toEqual(['a', 'b', 'c']);
    expect(inHashOrder(['xfs', 'ext4', 'btrfs', 'loop', 'dummy'], 512)).toEqual(EXPECTED_ORDER);
  });
});

// From a program in C that was compiled from the published source, and from depmod of kmod 30 on such a tree.
const EXPECTED_HASHES = [0, 291415938, 1366002500, 3535673738, 3671636187, 1127412, 0, 1417302142];
const EXPECTED_ORDER = ['loop', 'dummy', 'xfs', 'btrfs', 'ext4'];

describe('orderModules', () => {
  const modules = new Map(['kernel/a.ko.xz', 'kernel/b.ko', 'x/c-d.ko'].map((path) => [module(path).name, module(path)]));
  const names = (order: string | undefined, duplicates: 'first' | 'last' = 'first') => {
    const ordered = orderModules(modules, { order, duplicates });
    return [ordered.modules.map(({ name }) => name).join(' '), ordered.corrupted];
  };
  it('goes by modules.order, and by hash for the rest', () => {
    const hashed = names(undefined)[0];
    expect(names('')).toEqual([hashed, undefined]);
    expect(names('x/c-d.ko\nkernel/b.ko\nkernel/a.ko\n')).toEqual(['c_d b a', undefined]);
    expect(names('kernel/a.ko\nx/c-d.ko\nkernel/b.ko\nkernel/a.ko\n', 'first')).toEqual(['a c_d b', undefined]);
    expect(names('kernel/a.ko\nx/c-d.ko\nkernel/b.ko\nkernel/a.ko\n', 'last')).toEqual(['c_d b a', undefined]);
  });

  it('ignores a file whose last line has no end', () => {
    expect(names('x/c-d.ko\nkernel/b.ko')).toEqual([names(undefined)[0], 2]);
  });
});

describe('sortDependencies', () => {
  it('lists all needs, users before what they use', () => {
    expect(sortDependencies([[1, 2], [3], [3], []])).toEqual({ kind: 'sorted', needs: [[2, 1, 3], [3], [3], []] });
    expect(sortDependencies([])).toEqual({ kind: 'sorted', needs: [] });
  });

  it('finds circles, and counts only who is in one', () => {
    expect(sortDependencies([[1], [0, 2], [3], []])).toEqual({ kind: 'cycles', cycles: [[0, 1]], count: 2 });
    expect(sortDependencies([[0]])).toEqual({ kind: 'cycles', cycles: [[0]], count: 1 });
  });

  it('ends where circles hang together, which kmod does not', () => {
    const all = Array.from({ length: 40 }, (_, i) => i);
    const result = sortDependencies(all.map((i) => all.filter((other) => other !== i)));
    expect(result).toMatchObject({ kind: 'cycles', count: 40 });
  });
});

describe('DepmodSymbols', () => {
  it('finds owners, of two exports the later', () => {
    const symbols = new DepmodSymbols();
    symbols.addKernelSymbols([{ name: 'printk', crc: 1, namespace: '' }]);
    symbols.addExports(0, facts({ exports: [{ name: 'a', crc: 5 }, { name: 'b', crc: 5 }] }));
    symbols.addExports(1, facts({ exports: [{ name: 'b', crc: 6 }] }));
    const problems: unknown[] = [];
    const needs = facts({ needs: [{ name: 'b' }, { name: '.a' }, { name: 'printk' }, { name: 'gone' }, { name: 'soft', weak: true }, { name: '__this_module' }], versions: [{ name: 'b', crc: 6 }, { name: 'printk', crc: 2 }] });
    expect(symbols.needs(needs, (problem) => problems.push(problem))).toEqual([1, 0]);
    expect(problems).toEqual([{ kind: 'version', symbol: '.a' }, { kind: 'version', symbol: 'printk' }, { kind: 'unknown', symbol: 'gone' }]);
    const listed: string[] = [];
    symbols.ordered((bytes, start, end, owner) => listed.push(`${textOf(bytes, start, end)} ${owner}`));
    expect(listed.sort()).toEqual(['a 0', 'b 1']);
  });

  it('holds many', () => {
    const symbols = new DepmodSymbols();
    const names = Array.from({ length: 30_000 }, (_, i) => ({ name: `s${i}`, crc: i }));
    symbols.addExports(7, facts({ exports: names }));
    expect(symbols.needs(facts({ needs: [{ name: 's29999' }, { name: 's30000' }] }))).toEqual([7]);
  });
});

describe('parseSymvers and parseSystemMap', () => {
  it('take the symbols of the kernel itself', () => {
    expect(parseSymvers('0x0000000a\tx\tvmlinux\tEXPORT_SYMBOL\n0xb y drivers/z E\nq z vmlinux E\n0x1ffffffff w vmlinux E\nshort\n0x0000002a\tn\tvmlinux\tEXPORT_SYMBOL_GPL\tNS\n', 'f'))
      .toEqual({ symbols: [{ name: 'x', crc: 10, namespace: '' }, { name: 'w', crc: -1, namespace: '' }, { name: 'n', crc: 42, namespace: 'NS' }], problems: [{ line: 3, message: 'f:3 Invalid symbol version q: Success' }] });
    expect(parseSystemMap('c0 R __ksymtab_a\nc1 T b\nbad\nc2 R _x__ksymtab_c\nc3 r ___ksymtab_d\n', 'f', '_'))
      .toEqual({ symbols: [{ name: 'd', crc: 0, namespace: '' }], problems: [{ line: 3, message: 'f:3: invalid line: bad' }] });
  });
});

describe('the files of depmod', () => {
  const data: DepmodData = {
    modules: [
      { name: 'a', path: 'k/a.ko', needs: [1], facts: facts({ modinfo: ['alias=x-y', 'alias=a]', 'softdep=pre: b', 'alias=devname:d', 'alias=char-major-1-2'] }) },
      { name: 'b', path: 'k/b.ko', needs: [], facts: facts({ modinfo: ['alias=x-y', 'weakdep=c', 'alias=\xe9'] }) },
      { name: 'c', path: 'k/c.ko', needs: [], facts: undefined },
    ],
    symbols: { ordered: (visit) => visit(Buffer.from('sym'), 0, 3, 1) },
    builtin: 'kernel/e-f.ko\n?\n', builtinModinfo: 'e_f.alias=g-h\0e_f.license=x\0',
  };

  it('are made in their order', () => {
    const reports: string[] = [];
    const made = DEPMOD_FILES.map(({ name, kind, format }) => {
      const bytes = format(data, { layout: 'pre-order', warnDuplicates: true, report: (level, message) => reports.push(`${level} ${message}`) });
      return [name, kind === 'text' ? Buffer.from(bytes).toString('latin1') : [...new IndexFile(bytes, name).entries()].map(({ key, value, priority }) => `${key}=${value} ${priority}`)];
    });
    expect(made).toEqual([
      ['modules.dep', 'k/a.ko: k/b.ko\nk/b.ko:\nk/c.ko:\n'],
      ['modules.dep.bin', ['a=k/a.ko: k/b.ko 0', 'b=k/b.ko: 1', 'c=k/c.ko: 2']],
      ['modules.alias', '# Aliases extracted from modules themselves.\nalias x-y a\nalias a] a\nalias devname:d a\nalias char-major-1-2 a\nalias x-y b\nalias \xe9 b\n'],
      ['modules.alias.bin', ['char_major_1_2=a 0', 'devname:d=a 0', 'x_y=a 0', 'x_y=b 1']],
      ['modules.softdep', '# Soft dependencies extracted from modules themselves.\nsoftdep a pre: b\n'],
      ['modules.weakdep', '# Weak dependencies extracted from modules themselves.\nweakdep b c\n'],
      ['modules.symbols', '# Aliases for symbols, used by symbol_request().\nalias symbol:sym b\n'],
      ['modules.symbols.bin', ['symbol:sym=b 1']],
      ['modules.builtin.bin', ['e_f= 0']],
      ['modules.builtin.alias.bin', ['g_h=e_f 0']],
      ['modules.devname', '# Device nodes to trigger on-demand module loading.\na d c1:2\n'],
    ]);
    expect(reports).toEqual([
      'warn Unmatched bracket in a]', "error Module index: bad character in '\xe9 b', only 7-bit ASCII is supported: left out", 'error Invalid modules.builtin line: ?',
    ]);
  });
});

describe('buildIndex', () => {
  it('holds the same in both layouts, in files of one size', () => {
    const next = random(5);
    const word = () => Array.from({ length: 1 + next(6) }, () => 'abc*-'[next(5)]).join('');
    for (let round = 0; round < 200; round++) {
      const entries = Array.from({ length: next(60) }, () => ({ key: word(), value: word(), priority: next(4) }));
      const [pre, post] = (['pre-order', 'post-order'] as const).map((layout) => buildIndex(entries, { layout }).bytes);
      const list = (bytes: Uint8Array | undefined) => [...new IndexFile(bytes ?? new Uint8Array(0), 'x').entries()];
      // By key, of one key by priority. Of one priority the file has the later first, and the reader turns that round.
      const expected = entries.map((entry, at) => ({ entry, at })).sort((a, b) =>
        (a.entry.key < b.entry.key ? -1 : a.entry.key > b.entry.key ? 1 : a.entry.priority - b.entry.priority || a.at - b.at)).map(({ entry }) => entry);
      expect([list(pre), list(post), pre?.length]).toEqual([expected, expected, post?.length]);
    }
  });
});

describe('the cache', () => {
  const key = (path: string) => ({ path, inode: 12345678901, size: 10, mtime: 1700000000000.123, ctime: 1 });
  const entries = ['a.ko', 'kernel/b.ko.xz'].map((path) => ({ key: key(path), facts: facts({ modinfo: [`alias=${path}`], needs: [{ name: 'x' }] }) }));
  const outputs = new Map([['modules.dep', { input: 'ab', content: 'cd' }]]);
  const bytes = formatCache(entries, outputs);

  it('reads what it has written', () => {
    const parsed = parseCache(bytes, CACHE_NAME);
    expect(parsed?.outputs).toEqual(outputs);
    expect([...parsed?.entries.values() ?? []].map((entry) => [entry.key, entry.facts.values('alias'), entry.facts.needCount]))
      .toEqual([[key('a.ko'), ['a.ko'], 1], [key('kernel/b.ko.xz'), ['kernel/b.ko.xz'], 1]]);
    expect(parseCache(formatCache([], new Map()), CACHE_NAME)).toEqual({ entries: new Map(), outputs: new Map() });
  });

  it('is nothing when it is damaged, wherever that is', () => {
    for (let length = 0; length < bytes.length; length++) expect(parseCache(bytes.subarray(0, length), CACHE_NAME)).toBe(undefined);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      let parsed: unknown;
      try {
        parsed = parseCache(damaged, CACHE_NAME);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
      // Bytes 20 to 23 mean nothing.
      if (at < 20 || at > 23) expect({ at, parsed }).toEqual({ at, parsed: undefined });
    }
  });
});

describe('signatures', () => {
  it('differ where the input does', () => {
    const modules = [{ relative: 'a.ko' }, { relative: 'b.ko' }];
    const [x, y] = [facts({ modinfo: ['alias=x'] }), facts({ modinfo: ['alias=y'] })];
    const base = signaturesOf(modules, [x, undefined], 'pre-order');
    expect(signaturesOf(modules, [x, undefined], 'pre-order')).toEqual(base);
    expect(signaturesOf(modules, [y, undefined], 'pre-order')).toEqual({ ...base, info: expect.not.toBeOneOf([base.info]) });
    for (const other of [signaturesOf([...modules].reverse(), [x, undefined], 'pre-order'), signaturesOf(modules, [x, undefined], 'post-order')]) {
      expect(Object.values(other).filter((signature) => Object.values(base).includes(signature))).toEqual([]);
    }
    expect(new Set(['', 'a', 'aaaa', 'aaaaa', 'aaaaaaaa', '\0', '\0\0'].map((text) => contentSignature(Buffer.from(text)))).size).toBe(7);
  });
});
