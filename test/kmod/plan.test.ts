import { describe, expect, it } from 'vitest';

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

describe('plan of a removal', () => {
  it('takes users first, then what they needed', () => {
    expect(outline('xfs', { action: 'remove' })).toEqual([
      'remove xfs', '  rmmod xfs []: requested xfs', '  rmmod libcrc32c [0] optional: dep xfs',
    ]);
  });

  it('removes softdeps around the module', () => {
    expect(outline('msghandler', { action: 'remove' })).toEqual([
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
