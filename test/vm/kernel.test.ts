// Tests of choosing a kernel and of what is read from its image.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FormatError, UsageError } from '../../src/errors.ts';
import { libraryPath, parseLdd } from '../../src/vm/guest-tree.ts';
import { findKernel, kernelPackages } from '../../src/vm/kernel.ts';
import { extractKernel, extractVmlinux, hasPvhEntry, parseBzImage } from '../../src/vm/vmlinux.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kernel-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('kernelPackages', () => {
  const names = [
    'linux-image-6.1.0-9-amd64', 'linux-image-6.1.0-49-amd64', 'linux-image-6.1.0-49-cloud-amd64', 'linux-image-6.1.0-49-amd64-dbg',
    'linux-image-6.12-amd64', 'linux-image-6.12.9+deb12-amd64', 'linux-image-6.12.57+deb13-amd64', 'linux-image-6.12.57+deb12-amd64',
    'linux-image-6.12.57+deb13-amd64-unsigned', 'linux-image-6.12.100+bpo-rt-amd64', 'linux-image-6.12.86+deb13-cloud-amd64',
  ];

  it('sorts by number, newest first, and keeps to series and flavour', () => {
    expect(kernelPackages(names, '6.1')).toEqual(['linux-image-6.1.0-49-amd64', 'linux-image-6.1.0-9-amd64']);
    expect(kernelPackages(names, '6.12')).toEqual([
      'linux-image-6.12.57+deb13-amd64', 'linux-image-6.12.57+deb12-amd64', 'linux-image-6.12.9+deb12-amd64',
    ]);
    expect(kernelPackages(names, '6.12-cloud')).toEqual(['linux-image-6.12.86+deb13-cloud-amd64']);
    expect(kernelPackages(names, '6.12-rt')).toEqual(['linux-image-6.12.100+bpo-rt-amd64']);
    expect(kernelPackages(names, 'latest')).toEqual([]);
  });

  it('knows the directories of the cache', () => {
    const cached = ['.partial-1', 'linux-image-6.1.0-49-amd64_6.1.170-1', 'linux-image-6.1.0-49-amd64_6.1.170-3'];
    expect(kernelPackages(cached, '6.1')).toEqual(['linux-image-6.1.0-49-amd64_6.1.170-3', 'linux-image-6.1.0-49-amd64_6.1.170-1']);
  });
});

describe('findKernel', () => {
  it('takes a series from the cache, with its modules', async () => {
    const kernel = join(directory, 'kernels/linux-image-6.1.0-49-amd64_6.1.170-3');
    mkdirSync(join(kernel, 'boot'), { recursive: true });
    mkdirSync(join(kernel, 'usr/lib/modules/6.1.0-49-amd64'), { recursive: true });
    writeFileSync(join(kernel, 'boot/vmlinuz-6.1.0-49-amd64'), '');
    expect(await findKernel({ kernel: '6.1', cacheDirectory: directory })).toEqual({
      release: '6.1.0-49-amd64', image: join(kernel, 'boot/vmlinuz-6.1.0-49-amd64'), modules: join(kernel, 'usr/lib/modules/6.1.0-49-amd64'),
    });
  });

  it('takes an image with the modules it is given, or none', async () => {
    const image = join(directory, 'vmlinuz');
    mkdirSync(join(directory, '6.9.0'));
    writeFileSync(image, '');
    const modules = join(directory, '6.9.0');
    expect(await findKernel({ kernel: image, modules, cacheDirectory: directory })).toEqual({ image, modules, release: '6.9.0' });
    expect(await findKernel({ kernel: image, cacheDirectory: directory })).toEqual({ image, modules: undefined, release: undefined });
  });

  it('says what is wrong with a name', async () => {
    await expect(findKernel({ kernel: 'newest', cacheDirectory: directory })).rejects.toThrow(UsageError);
    await expect(findKernel({ kernel: '/no/vmlinuz', cacheDirectory: directory })).rejects.toThrow('/no/vmlinuz: no such kernel image');
  });
});

describe('parseBzImage', () => {
  it('finds the payload and its size', () => {
    const payload = gzipSync('kernel');
    expect(parseBzImage(bzImage(payload), 'k')).toEqual({ format: 'gzip', size: 6, data: payload });
    const xz = Buffer.from('fd377a585a0000aa06000000', 'hex');
    expect(parseBzImage(bzImage(xz), 'k')).toEqual({ format: 'xz', size: 6, data: xz.subarray(0, 8) });
  });

  it('throws a FormatError for a truncation at every byte, and for another file', () => {
    const image = bzImage(gzipSync('kernel'));
    for (let length = 0; length < image.length; length++) expect(() => parseBzImage(image.subarray(0, length), 'k')).toThrow(FormatError);
    expect(() => parseBzImage(Buffer.alloc(4096), 'k')).toThrow('k: at offset 514: expected the magic HdrS of a bzImage, found something else');
  });
});

describe('hasPvhEntry', () => {
  it('finds the note that QEMU looks for', () => {
    expect([18, 6].map((type) => hasPvhEntry(elfWithNote(type), 'k'))).toEqual([true, false]);
    expect(hasPvhEntry(Buffer.from('no ELF'), 'k')).toBe(false);
  });

  it('only throws a FormatError for a truncation', () => {
    const elf = elfWithNote(18);
    for (let length = 64; length < elf.length; length++) expect(() => hasPvhEntry(elf.subarray(0, length), 'k')).toThrow(FormatError);
  });
});

describe('extractVmlinux', () => {
  it('decompresses into the cache, once', async () => {
    const image = join(directory, 'vmlinuz-1');
    writeFileSync(image, bzImage(gzipSync(elfWithNote(18))));
    const first = await extractVmlinux(image, directory);
    expect(first).toMatch(/\/vmlinux\/1-[0-9a-f]{16}$/);
    expect(await extractVmlinux(image, directory)).toBe(first);
  });

  it('gives nothing for a kernel that cannot be entered that way', async () => {
    const image = join(directory, 'vmlinuz-1');
    writeFileSync(image, bzImage(gzipSync(elfWithNote(6))));
    expect([await extractVmlinux(image, directory), await extractVmlinux(image, directory)]).toEqual([undefined, undefined]);
    // Its configuration can be read all the same.
    expect(readFileSync(await extractKernel(image, directory) ?? '')).toEqual(Buffer.from(elfWithNote(6)));
  });
});

describe('parseLdd', () => {
  it('reads the output of glibc and of musl', () => {
    const glibc = '\tlinux-vdso.so.1 (0x00007ffc)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n';
    const musl = '\t/lib/ld-musl-x86_64.so.1 (0x7f)\n\tlibstdc++.so.6 => /usr/lib/libstdc++.so.6 (0x7f)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f)\n';
    expect(parseLdd(glibc, 'node')).toEqual(['/lib/x86_64-linux-gnu/libm.so.6', '/lib64/ld-linux-x86-64.so.2']);
    expect(parseLdd(musl, 'node')).toEqual(['/lib/ld-musl-x86_64.so.1', '/usr/lib/libstdc++.so.6']);
    expect(() => parseLdd('\tlibx.so.1 => not found\n', 'node')).toThrow('node needs libx.so.1, which is not installed');
  });
});

describe('libraryPath', () => {
  it('lists the directories that the loader does not search by itself', () => {
    expect(libraryPath(['/lib/x86_64-linux-gnu/libm.so.6', '/opt/node/lib/libnode.so', '/lib64/ld-linux-x86-64.so.2'])).toEqual(['/opt/node/lib']);
  });
});

/** A boot sector, one setup sector, and the payload. */
function bzImage(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(1024);
  head[0x1f1] = 1;
  head.write('HdrS', 0x202);
  head.writeUInt16LE(0x20f, 0x206);
  head.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([head, payload]);
}

/** An ELF header, one program header PT_NOTE, and one note of the name Xen. */
function elfWithNote(type: number): Buffer {
  const elf = Buffer.alloc(64 + 56 + 20);
  elf.write('\x7fELF\x02\x01\x01', 'latin1');
  elf.writeBigUInt64LE(64n, 0x20);
  elf.writeUInt16LE(56, 0x36);
  elf.writeUInt16LE(1, 0x38);
  elf.writeUInt32LE(4, 64);
  elf.writeBigUInt64LE(120n, 64 + 8);
  elf.writeBigUInt64LE(20n, 64 + 32);
  elf.writeUInt32LE(4, 120);
  elf.writeUInt32LE(4, 124);
  elf.writeUInt32LE(type, 128);
  elf.write('Xen\0', 132);
  return elf;
}
