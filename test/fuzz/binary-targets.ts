// The readers of binary data that `npm run fuzz` knows.

import { gzipSync } from 'node:zlib';

import { memorySource } from '../../src/image/byte-source.ts';
import { formatCpio, S_IFDIR, S_IFLNK, S_IFREG } from '../../src/image/cpio.ts';
import { openImage } from '../../src/image/detect.ts';
import { erofsChunks } from '../../src/image/erofs-write.ts';
import { walk } from '../../src/image/image-tree.ts';
import { compressionOf, decompress } from '../../src/kmod/compression.ts';
import { formatCache, parseCache } from '../../src/kmod/depmod-cache.ts';
import { ElfFile } from '../../src/kmod/elf.ts';
import { readImageFacts } from '../../src/kmod/image-facts.ts';
import { buildIndex } from '../../src/kmod/index-build.ts';
import { IndexFile } from '../../src/kmod/index-file.ts';
import { FactsEncoder, factsOf } from '../../src/kmod/module-facts.ts';
import { parseBuiltinInfo, parseModuleInfo } from '../../src/kmod/modinfo.ts';
import { readSignature } from '../../src/kmod/signature.ts';
import { formatBroadcast, parseBroadcast } from '../../src/udev/broadcast.ts';
import { formatControlMessage, parseControlMessage } from '../../src/udev/control-message.ts';
import { compileHwdb } from '../../src/udev/hwdb-compile.ts';
import { HwdbFile } from '../../src/udev/hwdb-file.ts';
import { parseHwdb } from '../../src/udev/hwdb-parse.ts';
import { parseUeventMessage } from '../../src/udev/uevent.ts';
import { buildModule } from '../kmod/elf-builder.ts';
import { cms, signed } from '../kmod/signed-module.ts';
import type { FuzzTarget } from './fuzz.ts';

const MODULE = {
  modinfo: ['license=GPL', 'alias=pci:v00008086d*', 'softdep=pre: a', 'parm=x:text', 'parmtype=x:int', 'vermagic=6.12 SMP'],
  exports: [{ name: 'absolute', crc: 0x12345678 }, { name: 'relative', crc: 0xdeadbeef, relative: true }, { name: 'unversioned' }],
  needs: [{ name: 'printk' }, { name: 'maybe', weak: true }], versions: [{ name: 'module_layout', crc: 1 }], extendedVersions: [{ name: 'long_name', crc: 2 }],
} as const;
const modules = (): Buffer[] => [buildModule(MODULE), buildModule({ ...MODULE, bits: 32, bigEndian: true }), signed(buildModule(MODULE), cms({}))];

/** A file of an image, or of a stream, that says more is refused by the reader. */
const LIMIT = 1 << 20;
/** Entries of an image that are looked at. */
const ENTRIES_MAX = 300;

const HWDB = 'usb:v1D6B*\n ID_VENDOR=x\n ID_MODEL=y\nevdev:name:[Aa]b?:*\n KEY_1=esc\n';
const EROFS_FILES = [
  { path: 'a/b', kind: 'file', size: 5, read: (target: Uint8Array) => target.fill(65) }, { path: 'c', kind: 'symlink', target: 'a/b' },
  { path: 'd', kind: 'file', size: 5000, read: (target: Uint8Array) => target.fill(66) },
] as const;

export const BINARY_TARGETS: Readonly<Record<string, FuzzTarget>> = {
  index: {
    seeds: () => [buildIndex([
      { key: 'pci:v00008086d*', value: 'e1000e', priority: 3 }, { key: 'pci:v0000[89]*', value: 'r', priority: 1 }, { key: 'fs_xfs', value: 'xfs', priority: 2 }, { key: '?s_x*', value: 'q', priority: 4 },
    ]).bytes],
    read(input) {
      const index = new IndexFile(input, 'f');
      return [index.searchWild('pci:v00008086d000010D3'), index.search('fs_xfs'), [...index.entries()].length];
    },
  },
  module: {
    seeds: modules,
    read(input) {
      const facts = factsOf(new FactsEncoder().encode(new ElfFile(input, 'f')), 'f');
      return [parseModuleInfo(input, 'f')?.entries, readImageFacts(input, 'f').exports.size, facts.values('alias')];
    },
  },
  signature: { seeds: modules, read: (input) => readSignature(input, 'f') },
  'modules.builtin.modinfo': { seeds: () => [Buffer.from('a.license=GPL\0a.alias=x\0b.parm=p:q\0')], dictionary: ['a.', '\0'], read: (input) => parseBuiltinInfo(input, 'a', 'f') },
  'depmod-cache': {
    seeds: () => {
      const facts = factsOf(new FactsEncoder().encode(new ElfFile(buildModule(MODULE), 'f')), 'f');
      return [formatCache([{ key: { path: 'a.ko', inode: 1, size: 2, mtime: 3, ctime: 4 }, facts }], new Map())];
    },
    read: (input) => parseCache(input, 'f')?.entries.size,
  },
  compressed: {
    seeds: () => [gzipSync('module '.repeat(100))],
    read(input) {
      const compression = compressionOf(input);
      return compression && [compression, decompress(input, compression, { file: 'f', limit: LIMIT }).length];
    },
  },
  image: {
    seeds: () => {
      const pieces = Array.from(erofsChunks(EROFS_FILES), (bytes) => Buffer.from(bytes));
      const cpio = formatCpio([
        { path: 'a', mode: S_IFDIR | 0o755 }, { path: 'a/b', mode: S_IFREG | 0o644, data: Buffer.from('hello') }, { path: 'c', mode: S_IFLNK | 0o777, data: Buffer.from('a/b') },
      ]);
      return [Buffer.concat(pieces), cpio, gzipSync(cpio)];
    },
    read(input) {
      const tree = openImage(memorySource(input, 'f'), { decompressor: { decompress: (bytes, compression, options) => decompress(bytes, compression, { ...options, limit: Math.min(options.limit ?? LIMIT, LIMIT) }) } });
      const seen: unknown[] = [];
      for (const entry of walk(tree)) {
        if (seen.length === ENTRIES_MAX) break;
        seen.push(entry.kind === 'symlink' ? tree.readlink(entry) : entry.kind === 'file' && entry.size <= LIMIT ? tree.read(entry).length : entry.kind);
      }
      return [tree.format, seen];
    },
  },
  uevent: { seeds: () => [Buffer.from('add@/devices/a\0ACTION=add\0DEVPATH=/devices/a\0SUBSYSTEM=pci\0SEQNUM=7\0MODALIAS=pci:v1\0')], dictionary: ['ACTION=', 'DEVPATH=', '/../', '\0'], read: (input) => parseUeventMessage(input) },
  broadcast: {
    seeds: () => [Buffer.from(formatBroadcast({ subsystem: 'mem', devtype: 'x', tags: ['seat'], properties: new Map([['ACTION', 'add'], ['EMPTY', '']]) }))],
    read: (input) => [...parseBroadcast(input)],
  },
  control: { seeds: () => [Buffer.from(formatControlMessage({ type: 'env', value: 'A=b' })), Buffer.from(formatControlMessage({ type: 'log-level', value: 7 }))], read: (input) => parseControlMessage(input) },
  'hwdb.bin': {
    seeds: () => [compileHwdb([parseHwdb(HWDB, 'f')])],
    read: (input) => {
      const hwdb = new HwdbFile(input, 'f');
      return [...hwdb.lookup('usb:v1D6Bp0001'), ...hwdb.lookup('evdev:name:Abc:')];
    },
  },
};
