// The answers that stand beside the trees of test/udev/builtin are those of Debian's udevadm.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

import { messageOf } from '../../src/errors.ts';
import { writeSysfs } from '../udev/captured-sysfs.ts';
import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { whyNoNamespace } from './udevadm.ts';
import { udevadmTestBuiltin } from './udevadm-builtin.ts';

const captures = new URL('../udev/builtin/captures/', import.meta.url);

/** Known to a later udev only: USB's revision (255), and the bus of ARM's own peripherals (257). */
const LATER = /^ID_PATH_WITH_USB_REVISION=.*\n/gm;
const LATER_DEVICES = /^@ \S*\/soc:amba\/.*\n(?:ID_.*\n)*/gm;

function debiansUdevadm(): string | undefined {
  const udev = unpackedPackage('udev');
  return [join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')].find((path) => existsSync(path));
}

describe.each([['path_id', 'buses'], ['path_id', 'usb'], ['usb_id', 'usb'], ['input_id', 'input']])('%s of udevadm', (builtin, tree) => {
  it(`says of ${tree}.sysfs what is written beside it`, (context) => {
    const reason = whyNoNamespace();
    if (reason !== undefined) return context.skip(reason);
    let udevadm: string | undefined;
    try {
      udevadm = debiansUdevadm();
    } catch (error) {
      return context.skip(messageOf(error));
    }
    if (udevadm === undefined) return context.skip('the package udev has no udevadm');
    const sys = mkdtempSync(join(tmpdir(), 'tsudevd-sysfs-'));
    onTestFinished(() => rmSync(sys, { recursive: true, force: true }));
    const devpaths = writeSysfs(sys, readFileSync(new URL(`${tree}.sysfs`, captures), 'utf8'));
    const expected = readFileSync(new URL(`${tree}.${builtin}`, captures), 'utf8');
    expect(udevadmTestBuiltin(udevadm, sys, builtin, devpaths).replace(LATER_DEVICES, '')).toBe(expected.replace(LATER, '').replace(LATER_DEVICES, ''));
  });
});
