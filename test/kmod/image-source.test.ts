import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { formatCpio } from '../../src/image/cpio.ts';
import { openModules } from '../../src/kmod/find-modules.ts';
import { openKmod } from '../../src/kmod/kmod.ts';
import { MODULE_INIT_COMPRESSED_FILE } from '../../src/system.ts';
import type { FakeScript } from '../../native-bindings/fake.ts';
import { IMAGE, machine, RELEASE } from './machine.ts';

/** A machine whose modules are in one file: /image of its root. */
async function imageMachine(files: Readonly<Record<string, string | Uint8Array>> = {}, script: FakeScript = {}) {
  const { root, system, native } = machine(files, script);
  const modules = join(root, 'lib/modules');
  const paths = readdirSync(modules, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(modules, path)).isFile());
  const image = join(root, 'image');
  writeFileSync(image, formatCpio(paths.map((path) => ({ path: `lib/modules/${path}`, mode: 0o100644, data: readFileSync(join(modules, path)) }))));
  rmSync(modules, { recursive: true });
  const source = await openModules(system, image);
  return { root, image, native, system, source, kmod: openKmod(system, { source }) };
}

const calls = ({ native }: Awaited<ReturnType<typeof imageMachine>>) => native.calls.flatMap((call) =>
  call.call === 'finitModule' ? [`finit flags ${call.flags}`] : call.call === 'memfdCreate' ? [`memfd ${call.module}`] : call.call === 'initModule' ? ['init'] : []);

describe('modules in an image', () => {
  const gz = { [`lib/modules/${RELEASE}/kernel/e1000e.ko`]: gzipSync(IMAGE) };

  it('are planned and loaded as those of a tree, out of memory', async () => {
    const one = await imageMachine();
    const result = await one.kmod.execute(one.kmod.plan('xfs', { params: 'b=2' }));
    expect(result.goals.map(({ module, outcome, steps }) => [module, outcome, steps.map(({ path }) => path.slice(one.image.length))])).toEqual([
      ['xfs', 'inserted', ['crc32c_generic', 'crc32c_intel', 'libcrc32c', 'xfs'].map((name) => `/lib/modules/${RELEASE}/kernel/${name}.ko`)],
    ]);
    expect(one.native.loads.map(({ module, params }) => `${module} ${params}`)).toEqual(['crc32c_generic ', 'crc32c_intel ', 'libcrc32c ', 'xfs a=1 b=2']);
    expect(Buffer.from(one.native.loads[3]?.image ?? [])).toEqual(IMAGE);
  });

  it('go to the kernel compressed where it decompresses that format', async () => {
    const one = await imageMachine({ ...gz, 'sys/module/compression': 'gzip\n' });
    await one.kmod.execute(one.kmod.plan('e1000e'));
    expect(calls(one)).toEqual(['memfd e1000e', `finit flags ${MODULE_INIT_COMPRESSED_FILE}`]);
    expect(Buffer.from(one.native.loads[0]?.image ?? [])).toEqual(gzipSync(IMAGE));
  });

  it('are decompressed by us where the kernel decompresses nothing, or refuses', async () => {
    const none = await imageMachine(gz);
    await none.kmod.execute(none.kmod.plan('e1000e'));
    expect(calls(none)).toEqual(['memfd e1000e', 'finit flags 0']);
    const refusing = await imageMachine({ ...gz, 'sys/module/compression': 'gzip\n' }, { answers: [{ call: 'finitModule', errno: 22, times: 1 }] });
    await refusing.kmod.execute(refusing.kmod.plan('e1000e'));
    expect(calls(refusing)).toEqual(['memfd e1000e', `finit flags ${MODULE_INIT_COMPRESSED_FILE}`, 'memfd e1000e', 'finit flags 0']);
    expect(Buffer.from(refusing.native.loads[0]?.image ?? [])).toEqual(IMAGE);
  });

  it('go through init_module, decompressed, on a kernel without finit_module or memfds', async () => {
    const one = await imageMachine({ ...gz, 'sys/module/compression': 'gzip\n' }, { answers: [{ call: 'memfdCreate', errno: 38 }] });
    await one.kmod.execute(one.kmod.plan('e1000e'));
    expect(calls(one)).toEqual(['memfd e1000e', 'memfd e1000e', 'init']);
  });

  it('are no longer read after close', async () => {
    const { source } = await imageMachine();
    source.close?.();
    expect(() => source.readIndex('modules.dep')).toThrow('EBADF');
  });
});

describe('openModules', () => {
  it('takes a place before the tree, the tree before /boot, and of /boot the first file of the release', async () => {
    const { root, system, image } = await imageMachine();
    mkdirSync(join(root, 'boot'));
    for (const name of [`modules-${RELEASE}.x`, `modules-${RELEASE}0`, 'modules-1']) writeFileSync(join(root, 'boot', name), readFileSync(image));
    const name = async (place?: string) => (await openModules(system, place)).name.slice(root.length);
    const inside = `lib/modules/${RELEASE}`;
    expect([await name(), await name(image)]).toEqual([`/boot/modules-${RELEASE}.x/${inside}`, `/image/${inside}`]);
    mkdirSync(join(root, inside), { recursive: true });
    expect([await name(), await name(image), await name(root), await name(join(root, 'lib/modules'))]).toEqual([`/${inside}`, `/image/${inside}`, `/${inside}`, `/${inside}`]);
  });

  it('says of an image which kernels it has modules of', async () => {
    const { system, image } = await imageMachine();
    await expect(openModules({ ...system, release: '1.2.3' }, image)).rejects.toThrow(`${image}: the image has no modules of kernel 1.2.3: it has those of ${RELEASE}`);
  });
});
