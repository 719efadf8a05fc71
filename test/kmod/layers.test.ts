// Layers of made modules: what a later one adds, replaces and needs, and the cache of what was computed.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { formatCpio } from '../../src/image/cpio.ts';
import { openModules } from '../../src/kmod/find-modules.ts';
import { openKmod } from '../../src/kmod/kmod.ts';
import { ModuleDb } from '../../src/kmod/module-db.ts';
import { openReopened } from '../../src/kmod/reopened-source.ts';
import { openSystem } from '../../src/system.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { buildModule, type ModuleSpec } from './elf-builder.ts';

const RELEASE = '6.12.0-test';

/** Modules by path. `exports` and `needs` are names of symbols. */
type Layer = Readonly<Record<string, { readonly exports?: readonly string[]; readonly needs?: readonly string[]; readonly modinfo?: readonly string[] }>>;

const BASE: Layer = {
  'kernel/lib.ko': { exports: ['lib_old', 'lib_both'], modinfo: ['alias=of:lib'] },
  'kernel/user.ko': { needs: ['lib_both'], modinfo: ['alias=pci:v1*', 'softdep=pre: other'] },
  'kernel/other.ko': { modinfo: ['alias=pci:v2*'] },
};

function build({ exports = [], needs = [], modinfo = [] }: Layer[string]): Buffer {
  const spec: ModuleSpec = { exports: exports.map((name) => ({ name, crc: 1 })), needs: needs.map((name) => ({ name })), modinfo };
  return buildModule(spec);
}

/** The layers as directories N of a root: the base a tree below lib/modules, the others bare directories. */
function layers(...all: readonly Layer[]) {
  const files = all.flatMap((layer, index) => Object.entries(layer).map(([path, module]) =>
    [`${index}/${index === 0 ? `lib/modules/${RELEASE}/` : ''}${path}`, build(module)] as const));
  const root = fixtureRoot({ 'etc/keep': '', ...Object.fromEntries(files) });
  const log = recordingLog();
  const system = openSystem({ root, release: RELEASE, log, env: { XDG_CACHE_HOME: join(root, 'cache') } });
  const places = all.map((_, index) => join(root, String(index)));
  const cache = () => (existsSync(join(root, 'cache/tsmodprobe')) ? readdirSync(join(root, 'cache/tsmodprobe')).map((name) => join(root, 'cache/tsmodprobe', name)) : []);
  return { root, system, log, places, cache };
}

async function merged(...all: readonly Layer[]) {
  const { root, system, log, places } = layers(...all);
  const source = await openModules(system, places);
  const kmod = openKmod(system, { source });
  const short = (path: string) => path.slice(root.length + 1).replace(`lib/modules/${RELEASE}/`, '');
  return {
    log: log.lines,
    steps: (name: string) => kmod.plan(name).goals.flatMap(({ steps }) => steps.flatMap((step) => ('path' in step ? short(source.resolve(step.path)) : []))),
    modules: (alias: string) => kmod.lookup(alias).map(({ module }) => module),
    symbols: (name: string) => new ModuleDb(source, log).symbols(`symbol:${name}`).map(({ value }) => value),
  };
}

describe('layers', () => {
  it('make one source that has indexes, also of a single place without any', async () => {
    const one = await merged(BASE);
    expect([one.steps('user'), one.modules('of:lib'), one.symbols('lib_old')]).toEqual([['0/kernel/lib.ko', '0/kernel/other.ko', '0/kernel/user.ko'], ['lib'], ['lib']]);
    expect(one.log).toEqual([]);
  });

  it('add modules, whose needs reach into the layers below, and above', async () => {
    const one = await merged(BASE, { 'added.ko': { needs: ['lib_old', 'top'], modinfo: ['alias=usb:v9*'] } }, { 'sub/top.ko': { exports: ['top'] } });
    expect([one.steps('added'), one.modules('usb:v9d1')]).toEqual([['0/kernel/lib.ko', '2/sub/top.ko', '1/added.ko'], ['added']]);
  });

  it('replace modules: path, aliases, symbols and dependencies are those of the later layer', async () => {
    const one = await merged(BASE, { 'updates/lib.ko': { exports: ['lib_both'], needs: ['help'], modinfo: ['alias=of:newlib'] }, 'updates/help.ko': { exports: ['help'] } });
    expect(one.steps('user')).toEqual(['1/updates/help.ko', '1/updates/lib.ko', '0/kernel/other.ko', '0/kernel/user.ko']);
    expect([one.modules('of:lib'), one.modules('of:newlib'), one.symbols('lib_old'), one.symbols('lib_both')]).toEqual([[], ['lib'], [], ['lib']]);
  });

  it('replace softdeps, and let an alias of a later layer stand beside the same one below', async () => {
    const one = await merged(BASE, { 'user.ko': { modinfo: ['softdep=post: other'] }, 'shadow.ko': { modinfo: ['alias=pci:v2*'] } });
    expect(one.steps('user')).toEqual(['1/user.ko', '0/kernel/other.ko']);
    expect([one.modules('pci:v1d0'), one.modules('pci:v2d0').sort()]).toEqual([[], ['other', 'shadow']]);
  });

  it('leave out what nobody exports', async () => {
    const one = await merged(BASE, { 'lib.ko': { exports: ['lib_new'] } });
    expect(one.steps('user')).toEqual(['0/kernel/other.ko', '0/kernel/user.ko']);
  });

  it('refuse circles, and a directory that has no modules', async () => {
    const circle = layers(BASE, { 'lib.ko': { exports: ['lib_both'], needs: ['round'] }, 'round.ko': { exports: ['round'], needs: ['lib_both'] } });
    await expect(openModules(circle.system, circle.places)).rejects.toThrow(/modules need each other in circles: (lib -> round -> lib|round -> lib -> round)$/);
    await expect(openModules(circle.system, [circle.places[0] ?? '', join(circle.root, 'etc')])).rejects.toThrow(`${circle.root}/etc: the directory has no modules of kernel ${RELEASE}`);
  });

  it('name a file that is no module, and go on', async () => {
    const { root, system, places, log } = layers(BASE, { 'added.ko': {} });
    writeFileSync(join(root, '1/added.ko'), 'no ELF file, but text that is long enough');
    const source = await openModules(system, places);
    expect(log.lines).toEqual([`warn bad-module: ${root}/1/added.ko: nothing is known of what it needs: ${root}/1/added.ko: not an ELF file`]);
    expect(new ModuleDb(source, log).dependencies('user')?.needs).toEqual(['kernel/lib.ko']);
  });

  it('may be images, read in place', async () => {
    const { root, system, places } = layers(BASE, { 'lib.ko': { exports: ['lib_both'] } });
    const image = join(root, 'extension.cpio');
    writeFileSync(image, formatCpio([{ path: 'lib.ko', mode: 0o100644, data: readFileSync(join(root, '1/lib.ko')) }]));
    const source = await openModules(system, [places[0] ?? '', image]);
    const dependencies = new ModuleDb(source, system.log).dependencies('user');
    expect(dependencies?.needs.map((path) => source.resolve(path))).toEqual([`${image}/lib.ko`]);
    const file = source.open('lib.ko');
    expect(Buffer.from(file.read(0, file.size))).toEqual(readFileSync(join(root, '1/lib.ko')));
  });
});

describe('the cache of computed indexes', () => {
  const dep = async ({ system, places }: ReturnType<typeof layers>) => (await openModules(system, places)).readText('modules.dep');

  it('is used while no layer changes, and made anew then', async () => {
    const one = layers(BASE, { 'added.ko': {} });
    const first = await dep(one);
    const [file = ''] = one.cache();
    const kept = readFileSync(file);
    expect(await dep(one)).toBe(first);
    expect(readFileSync(file)).toEqual(kept);
    writeFileSync(join(one.root, '1/added.ko'), build({ needs: ['lib_old'], modinfo: ['alias=longer'] }));
    expect(await dep(one)).toContain('added.ko: kernel/lib.ko\n');
    expect(readFileSync(file).equals(kept)).toBe(false);
    rmSync(join(one.root, '1/added.ko'));
    writeFileSync(join(one.root, '1/more.ko'), build({}));
    expect(await dep(one)).not.toContain('added');
    expect(one.cache()).toEqual([file]);
  });

  it('is passed over when it is damaged anywhere, cut, or writable by others', async () => {
    const one = layers(BASE, { 'added.ko': {} });
    const first = await dep(one);
    const [file = ''] = one.cache();
    const kept = readFileSync(file);
    for (const at of [0, 30, 100, kept.length >> 1, kept.length - 1]) {
      const damaged = Buffer.from(kept);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      writeFileSync(file, damaged);
      expect(await dep(one)).toBe(first);
      expect(readFileSync(file)).toEqual(kept);
      writeFileSync(file, kept.subarray(0, at));
      expect(await dep(one)).toBe(first);
    }
  });

  it('is done without where it cannot be written', async () => {
    const one = layers(BASE, { 'added.ko': {} });
    writeFileSync(join(one.root, 'cache'), 'a file');
    expect(await dep(one)).toContain('added.ko:\n');
    expect(one.log.lines.filter((line) => !line.startsWith('debug'))).toEqual([]);
  });
});

describe('a source that is opened again', () => {
  it('has the new image, keeps the old one open once more, and stays with it where the new one is damaged', async () => {
    const { root, system } = layers(BASE);
    const image = join(root, 'image.cpio');
    const write = (name: string) => {
      rmSync(image, { force: true });
      writeFileSync(image, formatCpio([{ path: `${name}.ko`, mode: 0o100644, data: build({ modinfo: [`alias=of:${name}`] }) }]));
    };
    write('one');
    const source = await openReopened(() => openModules(system, image));
    const former = source.open('one.ko');
    write('two');
    await source.reopen();
    expect(source.readText('modules.dep')).toBe('two.ko:\n');
    expect(former.read(0, 4).length).toBe(4);
    rmSync(image);
    writeFileSync(image, 'no image');
    await expect(source.reopen()).rejects.toThrow(image);
    expect(source.readText('modules.dep')).toBe('two.ko:\n');
    source.close();
  });
});
