import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

import { findKoffi, loadKoffi } from '../../native-bindings/koffi.ts';
import { UnsupportedError } from '../../src/errors.ts';

const directory = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'tsmodprobe-koffi-'));
  directories.push(made);
  return made;
};
const directories: string[] = [];
afterEach(() => {
  for (const each of directories.splice(0)) rmSync(each, { recursive: true });
});

/** A file: URL of a module in a directory; the module need not be there. */
const moduleIn = (path: string): string => pathToFileURL(join(path, 'tskmod.cjs')).href;

const shipped = createRequire(import.meta.url).resolve(`@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`);

describe('findKoffi', () => {
  it('loads the binary of the platform package', () => {
    expect(findKoffi(import.meta.url).load(null).func('int getpid()')()).toBe(process.pid);
  });

  it('loads koffi.node beside the file, with no node_modules at all', () => {
    const place = directory();
    copyFileSync(shipped, join(place, 'koffi.node'));
    expect(findKoffi(moduleIn(place)).load(null).func('int getpid()')()).toBe(process.pid);
  });

  it('passes over a file beside it that does not load', () => {
    const place = directory();
    writeFileSync(join(place, 'koffi.node'), 'not a shared object');
    const koffi = join(place, 'node_modules/@koromix', `koffi-linux-${process.arch}`, `linux_${process.arch}`);
    mkdirSync(koffi, { recursive: true });
    copyFileSync(shipped, join(koffi, 'koffi.node'));
    expect(findKoffi(moduleIn(place)).load(null).func('int getpid()')()).toBe(process.pid);
  });

  it('falls back to what require finds, whichever libc was guessed', () => {
    const place = directory();
    const koffi = join(place, 'node_modules/koffi');
    mkdirSync(koffi, { recursive: true });
    writeFileSync(join(koffi, 'index.js'), "exports.version = '3.9.9'; exports.found = true;");
    expect(findKoffi(moduleIn(place), 'musl')).toEqual({ version: '3.9.9', found: true });
  });

  it('says what to do and what was tried when there is none', () => {
    const place = directory();
    const koffi = join(place, 'node_modules/koffi');
    mkdirSync(koffi, { recursive: true });
    writeFileSync(join(koffi, 'index.js'), "exports.version = '2.16.3';");
    writeFileSync(join(place, 'koffi.node'), 'not a shared object');
    expect(() => findKoffi(moduleIn(place), 'glibc')).toThrow(
      new UnsupportedError(
        `koffi cannot be loaded on linux-${process.arch}; run "npm install koffi" beside tsmodprobe, or put koffi.node of ` +
          `@koromix/koffi-linux-${process.arch} next to the executable. Tried ${place}/koffi.node: ${place}/koffi.node: file too short; ` +
          `@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node: not there; ` +
          `@koromix/koffi-linux-${process.arch}/musl_${process.arch}/koffi.node: not there; koffi: version 2.16.3, where 3 is needed`,
      ),
    );
  });
});

describe('loadKoffi', () => {
  it('loads once', () => {
    expect(loadKoffi()).toBe(loadKoffi());
  });
});
