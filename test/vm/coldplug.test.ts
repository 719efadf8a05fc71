import { describe, expect, it } from 'vitest';

import { UDEVD_COLDPLUG } from '../../scripts/debian-guest.mjs';
import type { VmOptions } from '../../src/vm/vm.ts';
import { guestKernel, modulesOf, PUT_MODULES, runDebians, runOurs } from './guests.ts';
import { expectWhy, PUT_WHY } from './why-answers.ts';

/** The kernel looks for late devices in threads of its own: both guests get the same time for that. */
const QUIET = 'sleep 3\n';

/**
 * What Debian's udev loads for another reason than a modalias: rule files that name a module. Each with its rule. Our guest has our
 * default rules here; with Debian's rules in both guests, test/vm/udev-state.test.ts compares all that is left behind.
 */
const LOADED_BY_RULES: Readonly<Record<string, string>> = {
  sg: '80-debian-compat.rules: SUBSYSTEM=="scsi", ENV{DEVTYPE}=="scsi_device", TEST!="[module/sg]", RUN{builtin}+="kmod load sg"',
};

const MACHINE: VmOptions = { machine: 'q35', boot: 'bzimage' };

describe.each(['6.12', '6.1'])('tsudevd --coldplug-only on %s', (series) => {
  it('loads the modules that Debian\'s udevd and modprobe load in the same machine', async (context) => {
    const kernel = await guestKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    const theirs = await runDebians(kernel, `${UDEVD_COLDPLUG}${QUIET}${PUT_MODULES}`, MACHINE);
    const ours = await runOurs(kernel, `tsudevd --coldplug-only\nstatus=$?\n${QUIET}${PUT_MODULES}${PUT_WHY}exit $status`, MACHINE);
    expect(ours.exitCode, ours.console).toBe(0);
    expect(theirs.exitCode, theirs.console).toBe(0);
    const [own, debian] = [modulesOf(ours), modulesOf(theirs)];
    for (const driver of ['e1000e', 'virtio_scsi', 'sd_mod', 'nvme', 'usb_storage', 'snd_hda_intel']) expect(own).toContain(driver);
    expect(own.filter((module) => !debian.includes(module))).toEqual([]);
    expect(debian.filter((module) => !own.includes(module)).filter((module) => !(module in LOADED_BY_RULES))).toEqual([]);
    const { devices, modules } = expectWhy(ours);
    expect(devices).toBeGreaterThan(10);
    expect(modules).toBe(own.length);
    expect(ours.console).toMatch(/\d+ devices, \d+ modaliases, \d+ modules loaded in \d+ ms/);
  });
});
