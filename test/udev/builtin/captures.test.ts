// What builtins say of each device of trees that were written for them; the answers are those of udevadm.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

import { writeSysfs } from '../captured-sysfs.ts';
import { runBuiltin } from './run-builtin.ts';

const text = (name: string): string => readFileSync(new URL(`captures/${name}`, import.meta.url), 'utf8');

describe.each([['path_id', 'buses'], ['path_id', 'usb'], ['usb_id', 'usb'], ['input_id', 'input']])('%s', (builtin, tree) => {
  it(`answers as udevadm does for every device of ${tree}.sysfs`, async () => {
    const sys = mkdtempSync(join(tmpdir(), 'tsudevd-sysfs-'));
    onTestFinished(() => rmSync(sys, { recursive: true, force: true }));
    let answers = '';
    for (const devpath of writeSysfs(sys, text(`${tree}.sysfs`))) {
      answers += `@ ${devpath}\n${(await runBuiltin(sys, builtin, devpath)).map((line) => `${line}\n`).join('')}`;
    }
    expect(answers).toBe(text(`${tree}.${builtin}`));
  });
});
