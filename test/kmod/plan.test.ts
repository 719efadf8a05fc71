import { describe, expect, it } from 'vitest';

import { openKmod } from '../../src/kmod/kmod.ts';
import type { PlanOptions } from '../../src/kmod/plan.ts';
import { machine, tree } from './machine.ts';

/** A plan in short: what is done, with the positions it waits for, and why. */
function outline(name: string, options: PlanOptions = {}, files: Readonly<Record<string, string>> = {}): string[] {
  return machine(files).kmod.plan(name, options).goals.flatMap((goal) => [
    `${goal.status} ${goal.module}`,
    ...goal.steps.map((step) =>
      `  ${step.action} ${step.module}${step.params && ` ${step.params}`} [${step.after}]${step.required ? '' : ' optional'}: ${step.reason.kind} ${step.reason.from}`),
  ]);
}

describe('plan of an insertion', () => {
  it('puts what is needed first, each module between its own softdeps', () => {
    expect(outline('xfs', { params: 'b=2' })).toEqual([
      'load xfs',
      '  insmod crc32c_generic [] optional: softdep-pre libcrc32c',
      '  insmod crc32c_intel [] optional: softdep-pre libcrc32c',
      '  insmod libcrc32c [0,1]: dep xfs',
      '  insmod xfs a=1 b=2 [2]: requested xfs',
    ]);
  });

  it('says for an alias which pattern matched, and where everything was read', () => {
    const { root, kmod } = machine();
    expect(kmod.plan('pci:v00008086d000010D3sv1sd2bc02sc00i00')).toEqual({
      target: 'pci:v00008086d000010D3sv1sd2bc02sc00i00',
      goals: [{
        module: 'e1000e',
        reason: {
          kind: 'alias', from: 'pci:v00008086d000010D3sv1sd2bc02sc00i00', pattern: 'pci:v00008086d000010D3sv*sd*bc*sc*i*',
          source: { file: tree(root, 'modules.alias') },
        },
        status: 'blacklisted',
        source: { file: `${root}/etc/modprobe.d/a.conf`, line: 1 },
        steps: [],
      }],
      warnings: [],
    });
  });

  it('lets a plain name pass the blacklist, unless all are to obey it', () => {
    expect(outline('e1000e')).toEqual(['load e1000e', '  insmod e1000e debug=3  []: requested e1000e']);
    expect(outline('e1000e', { useBlacklist: 'all' })).toEqual(['blacklisted e1000e']);
  });

  it('is not caught by softdeps that lead back', () => {
    expect(outline('devintf')).toEqual([
      'load devintf',
      '  insmod msghandler []: dep devintf',
      '  insmod devintf [0]: requested devintf',
    ]);
    expect(outline('msghandler')).toEqual([
      'load msghandler',
      '  insmod msghandler []: requested msghandler',
      '  insmod msghandler [0]: dep devintf',
      '  insmod devintf [0,1] optional: softdep-post msghandler',
    ]);
  });

  it('runs an install command instead, unless told not to', () => {
    expect(outline('noload')).toEqual(['load noload', '  install noload []: requested noload']);
    expect(outline('noload', { ignoreInstall: true })).toEqual(['load noload', '  insmod noload []: requested noload']);
  });

  it('has nothing to do for what the kernel has', () => {
    expect(outline('fs-ext4')).toEqual(['ready ext4']);
    expect(outline('xfs', {}, { 'sys/module/xfs/initstate': 'live\n' })).toEqual(['ready xfs']);
  });

  it('has no goals for a name that nothing knows', () => {
    expect(machine().kmod.plan('nosuch')).toEqual({ target: 'nosuch', goals: [], warnings: [] });
    expect(machine().kmod.plan('a]b').goals).toEqual([]);
  });

  it('takes configured aliases before all others', () => {
    expect(outline('my-net', {}, { 'etc/modprobe.d/b.conf': 'alias my-* crc32c_intel\noptions my-* x=1\n' }))
      .toEqual(['load crc32c_intel', '  insmod crc32c_intel x=1  []: alias my-net']);
  });
});

const live = (...modules: string[]) => Object.fromEntries(modules.map((module) => [`sys/module/${module}/initstate`, 'live\n']));

describe('plan of a removal', () => {
  it('takes users first, then what they needed', () => {
    expect(outline('xfs', { action: 'remove' }, live('xfs'))).toEqual([
      'remove xfs', '  rmmod xfs []: requested xfs', '  rmmod libcrc32c [0] optional: dep xfs',
    ]);
  });

  it('removes softdeps around the module', () => {
    expect(outline('msghandler', { action: 'remove' }, live('msghandler', 'devintf'))).toEqual([
      'remove msghandler',
      '  rmmod devintf [] optional: softdep-post msghandler',
      '  rmmod msghandler [0] optional: dep devintf',
      '  rmmod msghandler [1]: requested msghandler',
    ]);
    expect(outline('msghandler', { action: 'remove', softdepsRequired: true }, live('msghandler', 'devintf'))[1]).toBe('  rmmod devintf []: softdep-post msghandler');
  });

  it('leaves alone what goes with a module that is not there', () => {
    expect(outline('msghandler', { action: 'remove' }, live('devintf'))).toEqual(['remove msghandler', '  rmmod msghandler []: requested msghandler']);
    expect(outline('msghandler', { action: 'remove', ignoreLoaded: true }, live('devintf'))).toEqual([
      'remove msghandler',
      '  rmmod devintf [] optional: softdep-post msghandler',
      '  rmmod msghandler [0] optional: dep devintf',
      '  rmmod msghandler [1]: requested msghandler',
    ]);
  });

  it('ends where softdeps and remove commands lead in a circle', () => {
    expect(outline('xfs', { action: 'remove' }, { 'etc/modprobe.d/b.conf': 'softdep xfs pre: xfs\nremove xfs true\n' }))
      .toEqual(['remove xfs', '  remove xfs []: requested xfs']);
  });
});

describe('the configuration', () => {
  it('names bad lines once and goes on', () => {
    const { root, kmod, log } = machine({ 'etc/modprobe.d/z.conf': 'nonsense here\n' });
    kmod.plan('xfs');
    kmod.plan('e1000e');
    expect(log).toEqual([`error bad-line: ${root}/etc/modprobe.d/z.conf line 1: ignoring bad line starting with 'nonsense'`]);
  });

  it('is read again after reload', () => {
    const { kmod, system } = machine();
    expect(kmod.plan('xfs').goals).toHaveLength(1);
    expect(system.release).toBe('6.12.0-test');
    kmod.reload();
    expect(kmod.plan('xfs').goals).toHaveLength(1);
  });
});

describe('deny', () => {
  const deny = (names: string) => ({ 'etc/modprobe.d/deny.conf': `# hardening\n#tsmodprobe: deny ${names}\n` });

  it('refuses a module by name, by alias and for what needs it, and names the line', () => {
    const { root, kmod } = machine(deny('libcrc32c'));
    const source = { file: `${root}/etc/modprobe.d/deny.conf`, line: 2 };
    const goal = (name: string) => kmod.plan(name).goals[0];
    expect(goal('libcrc32c')).toMatchObject({ status: 'denied', denied: 'libcrc32c', source, steps: [] });
    expect(goal('xfs')).toMatchObject({ status: 'denied', denied: 'libcrc32c', source, steps: [] });
    expect(goal('fs-xfs')).toMatchObject({ status: 'denied', denied: 'libcrc32c', source, steps: [] });
  });

  it('leaves denied softdeps out, and says so', () => {
    const { root, kmod } = machine(deny('crc32c-*'));
    const plan = kmod.plan('xfs');
    expect(plan.goals[0]?.steps.map((step) => step.module)).toEqual(['libcrc32c', 'xfs']);
    expect(plan.warnings.map(({ message }) => message)).toEqual(['generic', 'intel'].map((which) =>
      `softdep crc32c_${which} of libcrc32c left out: crc32c_${which} is denied by ${root}/etc/modprobe.d/deny.conf line 2`));
  });

  it('is a comment for kmod, and for --strict-kmod', () => {
    const { system } = machine(deny('xfs'));
    expect(openKmod(system, { strict: true }).plan('xfs').goals[0]?.status).toBe('load');
  });

  it('is a bad line without names, or with another word', () => {
    const { root, kmod, log } = machine({ 'etc/modprobe.d/deny.conf': '#tsmodprobe: deny\n#tsmodprobe: allow x\n# tsmodprobe: deny xfs\n' });
    expect(kmod.plan('xfs').goals[0]?.status).toBe('load');
    expect(log).toEqual([
      `error bad-line: ${root}/etc/modprobe.d/deny.conf line 1: ignoring bad line starting with '#tsmodprobe: deny'`,
      `error bad-line: ${root}/etc/modprobe.d/deny.conf line 2: ignoring bad line starting with '#tsmodprobe: allow'`,
    ]);
  });
});

describe('several softdep lines, and an install line beside them', () => {
  const files = { 'etc/modprobe.d/z.conf': 'softdep libcrc32c pre: e1000e\ninstall libcrc32c /bin/false\n' };

  it('all count', () => {
    expect(outline('xfs', {}, files).map((line) => line.trim().split(' ', 2).join(' '))).toEqual([
      'load xfs', 'insmod crc32c_generic', 'insmod crc32c_intel', 'insmod e1000e', 'install libcrc32c', 'insmod xfs',
    ]);
  });

  it('count for strict as they do for kmod: the first softdep only, and no command beside it', () => {
    const { system } = machine(files);
    const steps = openKmod(system, { strict: true }).plan('xfs').goals[0]?.steps.map((step) => `${step.action} ${step.module}`);
    expect(steps).toEqual(['insmod crc32c_generic', 'insmod crc32c_intel', 'insmod libcrc32c', 'insmod xfs']);
  });
});

describe('a path in place of a name', () => {
  it('loads that file, with the dependencies of its name', () => {
    const { kmod } = machine();
    const steps = kmod.plan('./xfs.ko', { path: '/tmp/./xfs.ko' }).goals[0]?.steps.map((step) => step.path.split('/').slice(-2).join('/'));
    expect(steps).toEqual(['kernel/crc32c_generic.ko', 'kernel/crc32c_intel.ko', 'kernel/libcrc32c.ko', './xfs.ko']);
  });
});
