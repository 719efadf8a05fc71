import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { openKmod } from '../../src/kmod/kmod.ts';
import type { ModuleSource } from '../../src/kmod/module-source.ts';
import type { ModuleLoad, ProbePlan, ProbeResult } from '../../src/kmod/probe.ts';
import { MODULE_INIT_COMPRESSED_FILE } from '../../src/system.ts';
import type { Native } from '../../src/system.ts';
import { IMAGE, machine, tree } from './machine.ts';

const outcomes = (result: ProbeResult) => result.goals.map((goal) => ({
  [goal.module]: goal.outcome, steps: goal.steps.map((step) => `${step.module} ${step.outcome}`),
}));

/** Every path is a module. */
const anyFile: ModuleSource = {
  kind: 'tree', release: '', name: '', readIndex: () => undefined, readText: () => undefined, resolve: (path) => path, exists: () => true,
  open: (path) => ({ path, size: IMAGE.length, fd: undefined, read: () => IMAGE, close: () => undefined }),
};

function loads(...modules: readonly [string, ...string[]]): ProbePlan {
  const steps = modules.map((module) => ({
    action: 'insmod' as const, module, path: module, params: '', reason: { kind: 'requested' as const, from: module }, after: [], required: true,
  }));
  return { target: 'x', goals: [{ module: modules[0], reason: { kind: 'requested', from: modules[0] }, status: 'load', steps }], warnings: [] };
}

function withInit(native: Native, init: () => Promise<void>): Native {
  return {
    ...native,
    finitModule: async () => {
      await init();
      return 0;
    },
  };
}

describe('execute', () => {
  it('inserts what a plan says, needed modules first', async () => {
    const { kmod, native } = machine();
    const result = await kmod.execute(kmod.plan('xfs', { params: 'b=2' }));
    expect(outcomes(result)).toEqual([{
      xfs: 'inserted', steps: ['crc32c_generic inserted', 'crc32c_intel inserted', 'libcrc32c inserted', 'xfs inserted'],
    }]);
    expect(native.loads.map(({ module, params }) => `${module} ${params}`))
      .toEqual(['crc32c_generic ', 'crc32c_intel ', 'libcrc32c ', 'xfs a=1 b=2']);
    expect(Buffer.from(native.loads[3]?.image ?? [])).toEqual(IMAGE);
  });

  it('tells each load once, to the plan that made it, with where its time went', async () => {
    const { kmod } = machine({}, { answers: [{ call: 'finitModule', module: 'crc32c_intel', errno: 19 }] });
    const told: ModuleLoad[] = [];
    await Promise.all([1, 2].map(() => kmod.execute(kmod.plan('xfs'), { onLoad: (load) => told.push(load) })));
    expect(told.map(({ module, outcome, failure }) => [module, outcome, failure?.code])).toEqual([
      ['crc32c_generic', 'inserted', undefined], ['crc32c_intel', 'failed', 'ENODEV'], ['libcrc32c', 'inserted', undefined], ['xfs', 'inserted', undefined],
    ]);
    for (const { waitMs, readMs, decompressMs, initMs } of told) expect([waitMs, readMs, decompressMs, initMs].every((ms) => Number.isFinite(ms) && ms >= 0)).toBe(true);
  });

  it('takes EEXIST for success, and skips what is live', async () => {
    const { kmod, native } = machine({ 'sys/module/libcrc32c/initstate': 'live\n' }, {
      answers: [{ call: 'finitModule', module: 'xfs', errno: 17 }],
    });
    expect(outcomes(await kmod.execute(kmod.plan('xfs')))).toEqual([{
      xfs: 'live', steps: ['crc32c_generic inserted', 'crc32c_intel inserted', 'libcrc32c live', 'xfs live'],
    }]);
    expect(native.loads.map(({ module }) => module)).toEqual(['crc32c_generic', 'crc32c_intel']);
  });

  it('goes on without a softdep that fails', async () => {
    const { kmod } = machine({}, { answers: [{ call: 'finitModule', module: 'crc32c_intel', errno: 19 }] });
    expect(outcomes(await kmod.execute(kmod.plan('xfs')))).toEqual([{
      xfs: 'inserted', steps: ['crc32c_generic inserted', 'crc32c_intel failed', 'libcrc32c inserted', 'xfs inserted'],
    }]);
  });

  it('stops where a needed module fails, and says why', async () => {
    const { kmod } = machine({}, { answers: [{ call: 'finitModule', module: 'libcrc32c', errno: 129 }] });
    const result = await kmod.execute(kmod.plan('xfs'));
    expect(outcomes(result)).toEqual([{
      xfs: 'failed', steps: ['crc32c_generic inserted', 'crc32c_intel inserted', 'libcrc32c failed', 'xfs skipped'],
    }]);
    expect(result.goals[0]?.failure).toEqual({
      code: 'EKEYREJECTED', errno: 129, syscall: 'finit_module', text: 'Key was rejected by service', kernel: [],
    });
  });

  it('says which file is gone', async () => {
    const { root, kmod } = machine();
    rmSync(tree(root, 'kernel/e1000e.ko'));
    const result = await kmod.execute(kmod.plan('e1000e'));
    expect(result.goals[0]?.failure).toEqual({
      code: 'ENOENT', errno: 2, syscall: 'open', kernel: [],
      text: `could not read ${tree(root, 'kernel/e1000e.ko')}: No such file or directory`,
    });
  });

  it('shares a load between plans, and waits for it', async () => {
    let finish: (() => void) | undefined;
    const until = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { kmod, native } = machine({}, { answers: [{ call: 'finitModule', module: 'msghandler', errno: 0, until }] });
    const both = [kmod.execute(kmod.plan('msghandler')), kmod.execute(kmod.plan('devintf'))];
    finish?.();
    const results = await Promise.all(both);
    expect(results.flatMap(outcomes)).toEqual([
      { msghandler: 'inserted', steps: ['msghandler inserted', 'msghandler inserted', 'devintf inserted'] },
      { devintf: 'inserted', steps: ['msghandler inserted', 'devintf inserted'] },
    ]);
    const calls = native.calls.filter(({ call }) => call === 'finitModule').map((call) => 'module' in call && call.module);
    expect(calls.indexOf('msghandler')).toBe(0);
    expect(calls.indexOf('devintf')).toBeGreaterThan(0);
  });

  it('cuts a loop: a request of the kernel for a module whose init may be what waits for it', async () => {
    const { system, kmod } = machine({}, { answers: [{ call: 'finitModule', module: 'e1000e', errno: 0, until: new Promise(() => undefined) }] });
    const { testClock } = await import('../udev/fakes.ts');
    const { Loader } = await import('../../src/kmod/loader.ts');
    const { LiveModules } = await import('../../src/kmod/live.ts');
    const clock = testClock();
    const loader = new Loader({ ...system, clock }, kmod.source, new LiveModules(system));
    const plan = kmod.plan('e1000e');
    // Its init never ends.
    void loader.execute(plan, { forKernel: true });
    const result = await loader.execute(plan, { forKernel: true });
    expect(outcomes(result)).toEqual([{ e1000e: 'failed', steps: ['e1000e failed'] }]);
    expect(result.goals[0]?.failure).toEqual({
      code: 'EDEADLK', errno: 35, syscall: 'finit_module', kernel: [], text: 'e1000e is still being initialised after 15 s, and may itself wait for this request',
    });
    expect(new Set(clock.sleeps)).toEqual(new Set([15_000]));
  });

  it('cuts a loop through an install command, which runs once', async () => {
    const fixture = machine({ 'etc/modprobe.d/loop.conf': 'install e1000e read -r line < $FIFO; echo ran >> $RAN\n' });
    const [fifo, ran] = [join(fixture.root, 'fifo'), join(fixture.root, 'ran')];
    spawnSync('mkfifo', [fifo]);
    const { testClock } = await import('../udev/fakes.ts');
    const { Loader } = await import('../../src/kmod/loader.ts');
    const { LiveModules } = await import('../../src/kmod/live.ts');
    const loader = new Loader({ ...fixture.system, clock: testClock(), env: { ...process.env, FIFO: fifo, RAN: ran } }, fixture.kmod.source, new LiveModules(fixture.system));
    const plan = fixture.kmod.plan('e1000e');
    const first = loader.execute(plan, { forKernel: true });
    const second = await loader.execute(plan, { forKernel: true });
    const shared = loader.execute(plan);
    expect(second.goals[0]?.failure).toEqual({
      code: 'EDEADLK', errno: 35, syscall: 'sh', kernel: [], text: 'the install command of e1000e still runs after 15 s, and may itself wait for this request',
    });
    // Opens when the shell has.
    await writeFile(fifo, '\n');
    expect([await first, await shared].flatMap(outcomes)).toEqual([1, 2].map(() => ({ e1000e: 'ran', steps: ['e1000e ran'] })));
    expect(readFileSync(ran, 'utf8')).toBe('ran\n');
  });

  it('cuts a loop through another process, and goes on with a module that has come meanwhile', async () => {
    const { root, system, kmod } = machine({ 'sys/module/msghandler/initstate': 'coming\n' });
    const { Loader } = await import('../../src/kmod/loader.ts');
    const { LiveModules } = await import('../../src/kmod/live.ts');
    const run = async (onSleep?: (ms: number) => void) => {
      let now = 0;
      const clock = { ...system.clock, now: () => now, sleep: async (ms: number) => {
        now += ms;
        onSleep?.(now);
      } };
      return { outcomes: outcomes(await new Loader({ ...system, clock }, kmod.source, new LiveModules(system)).execute(kmod.plan('devintf'), { forKernel: true })), now };
    };
    expect(await run()).toEqual({ outcomes: [{ devintf: 'failed', steps: ['msghandler failed', 'devintf skipped'] }], now: 15_000 });
    expect(await run((now) => {
      if (now === 100) writeFileSync(`${root}/sys/module/msghandler/initstate`, 'live\n');
    })).toEqual({ outcomes: [{ devintf: 'inserted', steps: ['msghandler live', 'devintf inserted'] }], now: 100 });
  });

  it('runs no more loads at a time than it may', async () => {
    const { system } = machine();
    const { Loader } = await import('../../src/kmod/loader.ts');
    const { LiveModules } = await import('../../src/kmod/live.ts');
    let running = 0;
    let most = 0;
    const loader = new Loader({ ...system, native: async () => withInit(await system.native(), async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    }) }, anyFile, new LiveModules(system), { jobs: 2 });
    expect(outcomes(await loader.execute(loads('a', 'b', 'c', 'd', 'e')))[0]?.steps).toEqual(['a inserted', 'b inserted', 'c inserted', 'd inserted', 'e inserted']);
    expect(most).toBe(2);
  });

  it('runs no more at a time for the kernel either, until those that run may wait for the others', async () => {
    const { system } = machine();
    const { testClock } = await import('../udev/fakes.ts');
    const { Loader } = await import('../../src/kmod/loader.ts');
    const { LiveModules } = await import('../../src/kmod/live.ts');
    let tick = (): void => undefined;
    const clock = testClock(() => new Promise((resolve) => {
      tick = resolve;
    }));
    let started = 0;
    let most = 0;
    let nested: Promise<void> = Promise.resolve();
    const loader = new Loader({ ...system, clock, native: async () => withInit(await system.native(), async () => {
      most = Math.max(most, ++started);
      await nested;
      started--;
    }) }, anyFile, new LiveModules(system), { jobs: 2 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    await Promise.all(names.map((name) => loader.execute(loads(name), { forKernel: true })));
    expect({ most, sleeps: new Set(clock.sleeps) }).toEqual({ most: 2, sleeps: new Set([200]) });
    // The last one to begin is what all inits wait for.
    let release = (): void => undefined;
    nested = new Promise((resolve) => {
      release = resolve;
    });
    const all = names.map((name) => loader.execute(loads(`${name}2`), { forKernel: true }));
    while (most < names.length) {
      await new Promise((resolve) => setImmediate(resolve));
      tick();
    }
    release();
    expect((await Promise.all(all)).flatMap(outcomes)).toEqual(names.map((name) => ({ [`${name}2`]: 'inserted', steps: [`${name}2 inserted`] })));
  });

  it('does nothing in a dry run but say what it would do, in order', async () => {
    const { kmod, native } = machine({ 'sys/module/crc32c_intel/initstate': 'live\n' });
    const said: string[] = [];
    await kmod.execute(kmod.plan('xfs'), { dryRun: true, onStep: (step) => said.push(step.module) });
    expect(said).toEqual(['crc32c_generic', 'libcrc32c', 'xfs']);
    expect(native.calls).toEqual([]);
  });

  it('runs install commands with the parameters and the name of the module', async () => {
    const { root, kmod } = machine();
    writeFileSync(`${root}/etc/modprobe.d/b.conf`, `install msghandler echo $CMDLINE_OPTS $MODPROBE_MODULE > ${root}/ran\noptions msghandler p=1\n`);
    writeFileSync(`${root}/${'etc/modprobe.d/a.conf'}`, 'install e1000e exit 3\n');
    kmod.reload();
    writeFileSync(tree(root, 'modules.softdep'), '');
    expect(outcomes(await kmod.execute(kmod.plan('msghandler')))).toEqual([{ msghandler: 'ran', steps: ['msghandler ran'] }]);
    const result = await kmod.execute(kmod.plan('e1000e'));
    expect(result.goals[0]?.failure).toEqual({ code: 'EINVAL', errno: 22, syscall: 'sh', text: 'retcode 3', kernel: [] });
  });
});

describe('compressed modules', () => {
  const compressed = { 'lib/modules/6.12.0-test/kernel/e1000e.ko': gzipSync(IMAGE) };
  const calls = ({ native }: ReturnType<typeof machine>) => native.calls.flatMap((call) =>
    call.call === 'finitModule' ? [`finit flags ${call.flags}`] : call.call === 'memfdCreate' ? ['memfd'] : call.call === 'initModule' ? ['init'] : []);

  it('go to the kernel as they are where it decompresses that format', async () => {
    const gz = machine({ ...compressed, 'sys/module/compression': 'gzip\n' });
    await gz.kmod.execute(gz.kmod.plan('e1000e'));
    expect(calls(gz)).toEqual([`finit flags ${MODULE_INIT_COMPRESSED_FILE}`]);
  });

  it.each(['xz\n', undefined])('are decompressed by us where it decompresses %j', async (format) => {
    const gz = machine({ ...compressed, ...(format === undefined ? {} : { 'sys/module/compression': format }) });
    await gz.kmod.execute(gz.kmod.plan('e1000e'));
    expect(calls(gz)).toEqual(['memfd', 'finit flags 0']);
    expect(Buffer.from(gz.native.loads[0]?.image ?? [])).toEqual(IMAGE);
  });

  it.each([['EOPNOTSUPP', 95], ['EINVAL', 22], ['ENOEXEC', 8]])('are decompressed by us where the kernel refuses with %s', async (_, errno) => {
    const gz = machine({ ...compressed, 'sys/module/compression': 'gzip\n' }, {
      answers: [{ call: 'finitModule', errno, times: 1 }],
    });
    expect(outcomes(await gz.kmod.execute(gz.kmod.plan('e1000e')))).toEqual([{ e1000e: 'inserted', steps: ['e1000e inserted'] }]);
    expect(calls(gz)).toEqual([`finit flags ${MODULE_INIT_COMPRESSED_FILE}`, 'memfd', 'finit flags 0']);
  });

  it('go through init_module on a kernel without finit_module or memfds', async () => {
    const gz = machine(compressed, { answers: [{ call: 'finitModule', errno: 38 }, { call: 'memfdCreate', errno: 38 }] });
    expect(outcomes(await gz.kmod.execute(gz.kmod.plan('e1000e')))).toEqual([{ e1000e: 'inserted', steps: ['e1000e inserted'] }]);
    expect(calls(gz)).toEqual(['memfd', 'init']);
  });

  it('that are damaged are a failure with the place of the damage', async () => {
    const gz = machine({ ...compressed, 'lib/modules/6.12.0-test/kernel/e1000e.ko': gzipSync(IMAGE).subarray(0, 20) });
    const result = await gz.kmod.execute(gz.kmod.plan('e1000e'));
    expect(result.goals[0]?.failure?.text).toContain(tree(gz.root, 'kernel/e1000e.ko'));
    expect(gz.native.loads).toEqual([]);
  });
});

describe('removal', () => {
  const loaded = { 'sys/module/xfs/initstate': 'live\n', 'sys/module/xfs/refcnt': '0\n', 'sys/module/libcrc32c/initstate': 'live\n', 'sys/module/libcrc32c/refcnt': '0\n' };

  it('unloads the module and what nobody needs any more', async () => {
    const { kmod, native } = machine(loaded);
    expect(outcomes(await kmod.execute(kmod.plan('xfs', { action: 'remove' })))).toEqual([{ xfs: 'removed', steps: ['xfs removed', 'libcrc32c removed'] }]);
    expect(native.calls).toEqual([
      { call: 'deleteModule', module: 'xfs', flags: 0o4000 }, { call: 'deleteModule', module: 'libcrc32c', flags: 0o4000 },
    ]);
  });

  it('leaves what is in use, and says so of the named module', async () => {
    const used = machine({ ...loaded, 'sys/module/libcrc32c/refcnt': '1\n' });
    expect(outcomes(await used.kmod.execute(used.kmod.plan('xfs', { action: 'remove' })))).toEqual([{ xfs: 'removed', steps: ['xfs removed', 'libcrc32c skipped'] }]);
    const busy = machine({ ...loaded, 'sys/module/xfs/refcnt': '2\n' });
    const result = await busy.kmod.execute(busy.kmod.plan('xfs', { action: 'remove' }));
    expect(result.goals[0]?.failure).toMatchObject({ code: 'EAGAIN', text: 'in use' });
    expect(busy.native.calls).toEqual([]);
  });

  it('shows in a dry run what earlier removals of the run set free', async () => {
    const held = { ...loaded, 'sys/module/libcrc32c/refcnt': '1\n', 'sys/module/libcrc32c/holders/xfs/refcnt': '0\n' };
    const shown = async (strict: boolean) => {
      const { system } = machine({ ...held, 'sys/module/crc32c_generic/initstate': 'live\n', 'sys/module/crc32c_generic/refcnt': '1\n', 'sys/module/crc32c_generic/holders/xfs/refcnt': '0\n' });
      const kmod = openKmod(system, { strict });
      const removed = new Set<string>();
      const said: string[] = [];
      for (const name of ['xfs', 'libcrc32c', 'crc32c_generic']) await kmod.execute(kmod.plan(name, { action: 'remove' }), { dryRun: true, removed, onStep: ({ module }) => said.push(module) });
      return said;
    };
    expect(await shown(false)).toEqual(['xfs', 'libcrc32c', 'crc32c_generic']);
    expect(await shown(true)).toEqual(['xfs']);
  });

  it('forgets a dry run, and shows holders before what they hold', async () => {
    const { kmod, native } = machine({ ...loaded, 'sys/module/libcrc32c/refcnt': '1\n', 'sys/module/libcrc32c/holders/xfs/refcnt': '0\n' });
    const plan = kmod.plan('libcrc32c', { action: 'remove', removeHolders: true });
    for (let round = 0; round < 2; round++) {
      expect(outcomes(await kmod.execute(plan, { dryRun: true }))).toEqual([{ libcrc32c: 'skipped', steps: ['xfs skipped', 'libcrc32c skipped', 'libcrc32c not-loaded', 'crc32c_generic not-loaded', 'crc32c_intel not-loaded'] }]);
    }
    expect(native.calls).toEqual([]);
  });

  it('is content with a module that is not there', async () => {
    const { kmod } = machine();
    expect(outcomes(await kmod.execute(kmod.plan('xfs', { action: 'remove' })))).toEqual([{ xfs: 'not-loaded', steps: ['xfs not-loaded'] }]);
  });
});
