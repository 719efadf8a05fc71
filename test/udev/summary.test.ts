// The text of a coldplug and of a dry run.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { coldplug, planColdplug } from '../../src/udev/coldplug.ts';
import { formatDryRun, formatSummary } from '../../src/udev/summary.ts';
import { addDevices, fakeKmod, makeRoot, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  addDevices(root.path, {
    '/devices/pci0000:00/0000:00:03.0': { uevent: 'MODALIAS=pci:nic' },
    '/devices/pci0000:00/0000:00:05.0': { uevent: 'MODALIAS=pci:vga' },
    '/devices/platform/pcspkr': { uevent: 'MODALIAS=platform:pcspkr' },
    '/devices/system/cpu/cpu0': { uevent: 'MODALIAS=cpu:x86' },
    '/devices/system/cpu/cpu1': { uevent: 'MODALIAS=cpu:x86' },
    '/devices/virtual/dmi/id': { uevent: 'MODALIAS=dmi:none' },
  });
});
afterEach(() => root.remove());

const failure = { errno: 95, code: 'EOPNOTSUPP', syscall: 'finit_module', text: 'Operation not supported', kernel: ['kvm_intel: VMX not supported'] };
const absent = { errno: 19, code: 'ENODEV', syscall: 'finit_module', text: 'No such device', kernel: [] };
const kmod = () => fakeKmod({
  'pci:nic': [{ module: 'e1000e', needs: ['ptp'] }],
  'pci:vga': [{ module: 'bochs', status: 'ready' }],
  'cpu:x86': [
    { module: 'kvm_intel', outcome: 'failed', failure, needs: ['kvm'] },
    { module: 'powernow_k8', outcome: 'failed', failure: absent },
    { module: 'edac_mce_amd', outcome: 'failed', failure: absent },
  ],
  'platform:pcspkr': [{ module: 'pcspkr', status: 'blacklisted' }],
});

describe('formatSummary', () => {
  it('counts, lists what was loaded for what, then failures, absent hardware and the blacklist', async () => {
    expect(formatSummary(await coldplug(testSystem(root.path), kmod()))).toEqual([
      '6 devices, 5 modaliases, 2 rounds, 3 modules loaded in 0 ms',
      '',
      'module  ms  for                               reason',
      'ptp     12  e1000e                            dep of e1000e',
      'e1000e  12  /devices/pci0000:00/0000:00:03.0  pci:*',
      'kvm     12  kvm_intel                         dep of kvm_intel',
      '',
      'failed:',
      '  kvm_intel for /devices/system/cpu/cpu0 (+1): Operation not supported (EOPNOTSUPP)',
      '    kernel: kvm_intel: VMX not supported',
      '',
      'no hardware: powernow_k8, edac_mce_amd',
      '',
      'blacklisted: pcspkr (/etc/modprobe.d/blacklist.conf:3)',
    ]);
  });

  it('is one line where nothing was to be done', async () => {
    expect(formatSummary({ devices: 1, modaliases: 1, rounds: [], aliases: [], settled: false, ms: 3.6 })).toEqual([
      '1 device, 1 modalias, 0 modules loaded in 4 ms (not settled)',
    ]);
  });

  it('lets no control characters of a device through', async () => {
    addDevices(root.path, { '/devices/a\u001b[31m': { uevent: 'MODALIAS=x:a' } });
    const summary = await coldplug(testSystem(root.path), fakeKmod({ 'x:a': [{ module: 'a' }] }));
    expect(formatSummary(summary).at(-1)).toBe('a       12  /devices/a?[31m  x:a*');
  });
});

describe('formatDryRun', () => {
  it('says for each module, in order, why it would be loaded', async () => {
    expect(formatDryRun(await planColdplug(testSystem(root.path), kmod()))).toEqual([
      'would load ptp (/lib/modules/6.12.0-test/kernel/ptp.ko.xz)',
      '  because e1000e needs it',
      'would load e1000e (/lib/modules/6.12.0-test/kernel/e1000e.ko.xz)',
      '  because MODALIAS of /devices/pci0000:00/0000:00:03.0 matches pci:* (/lib/modules/6.12.0-test/modules.alias.bin)',
      'would load kvm (/lib/modules/6.12.0-test/kernel/kvm.ko.xz)',
      '  because kvm_intel needs it',
      'would load kvm_intel (/lib/modules/6.12.0-test/kernel/kvm_intel.ko.xz)',
      '  because MODALIAS of /devices/system/cpu/cpu0 (+1) matches cpu:* (/lib/modules/6.12.0-test/modules.alias.bin)',
      'would load powernow_k8 (/lib/modules/6.12.0-test/kernel/powernow_k8.ko.xz)',
      '  because MODALIAS of /devices/system/cpu/cpu0 (+1) matches cpu:* (/lib/modules/6.12.0-test/modules.alias.bin)',
      'would load edac_mce_amd (/lib/modules/6.12.0-test/kernel/edac_mce_amd.ko.xz)',
      '  because MODALIAS of /devices/system/cpu/cpu0 (+1) matches cpu:* (/lib/modules/6.12.0-test/modules.alias.bin)',
      'would not load pcspkr: blacklisted (/etc/modprobe.d/blacklist.conf:3)',
      '6 devices, 5 modaliases (1 without a module), 6 modules to load, 1 there already, 1 blacklisted',
    ]);
  });
});
