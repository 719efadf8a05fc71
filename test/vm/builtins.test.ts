// Machines are captured in a guest after Debian's coldplug; of every device ours say what udevadm 252 says of the captured tree, and what the
// guest's own udevd noted in its database while the drivers ran.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';

import { udevadmTestBuiltin } from '../oracle/udevadm-builtin.ts';
import { runBuiltin } from '../udev/builtin/run-builtin.ts';
import { writeSysfs } from '../udev/captured-sysfs.ts';
import { BUILTIN_MACHINES } from './builtin-machines.ts';
import { UDEVD_COLDPLUG } from '../../scripts/debian-guest.mjs';
import { unpackedPackage } from '../../scripts/debian-package.mjs';
import { guestKernel, runDebians } from './guests.ts';

const CAPTURE_SCRIPT = fileURLToPath(new URL('capture-sysfs.mjs', import.meta.url));
const CAPTURE = `${UDEVD_COLDPLUG}sleep 2
udevadm settle
node /capture-sysfs.mjs /tmp/sysfs && udevadm info -e > /tmp/database && vmctl put /tmp/sysfs /tmp/database
`;

/** Which builtin is asked of which devices; of the others it knows nothing in both. */
const QUESTIONS = [['path_id', /./], ['usb_id', /\/usb\d/], ['input_id', /\/input\//]] as const;
/** Made by udev 255 and later. */
const LATER = /^ID_PATH_WITH_USB_REVISION=/;
/** What nothing but our three builtins writes to the database. ID_SERIAL and its like come from ata_id and scsi_id too; sizes need the node. */
const NOTED = /^(?:ID_PATH|ID_PATH_TAG|ID_PATH_ATA_COMPAT|ID_USB_INTERFACES|ID_USB_INTERFACE_NUM|ID_USB_DRIVER|ID_INPUT(?!_WIDTH|_HEIGHT)\w*)=/;

/** Each machine with one kernel, in turns: a guest takes its minute. All six pairs have been equal. */
const CASES = Object.entries(BUILTIN_MACHINES).map(([name, machine], index) => [name, index % 2 === 0 ? '6.12' : '6.1', machine] as const);

describe.each(CASES)('builtins on the machine %s, %s', (_name, series, machine) => {
  it('say what Debian\'s say of every device', async (context) => {
    const kernel = await guestKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    const result = await runDebians(kernel, CAPTURE, { ...machine, files: [{ source: CAPTURE_SCRIPT, target: '/capture-sysfs.mjs' }], timeoutSeconds: 240 });
    expect(result.exitCode, result.console).toBe(0);
    const sys = mkdtempSync(join(tmpdir(), 'tsudevd-sysfs-'));
    onTestFinished(() => rmSync(sys, { recursive: true, force: true }));
    const devpaths = writeSysfs(sys, result.files.get('sysfs')?.toString('utf8') ?? '');
    expect(devpaths.length).toBeGreaterThan(300);

    const differences: string[] = [];
    const compare = (what: string, theirs: readonly string[], ours: readonly string[]): void => {
      if (ours.join('\n') !== theirs.join('\n')) differences.push([what, ...theirs.map((line) => `- ${line}`), ...ours.map((line) => `+ ${line}`)].join('\n  '));
    };
    const database = parseRecords(result.files.get('database')?.toString('utf8') ?? '');
    const own = new Map<string, Set<string>>();
    for (const [name, where] of QUESTIONS) {
      const asked = devpaths.filter((devpath) => where.test(devpath));
      const answers = parseAnswers(udevadmTestBuiltin(udevadm(), sys, name, asked));
      for (const devpath of asked) {
        const ours = await runBuiltin(sys, name, devpath);
        own.set(devpath, new Set([...own.get(devpath) ?? [], ...ours]));
        compare(`${name} ${devpath}`, answers.get(devpath) ?? ['(no answer)'], ours.filter((line) => !LATER.test(line)));
      }
    }
    let noted = 0;
    for (const [devpath, lines] of database) {
      const missing = lines.filter((line) => NOTED.test(line) && own.has(devpath) && !own.get(devpath)?.has(line));
      noted += lines.filter((line) => NOTED.test(line)).length;
      compare(`database ${devpath}`, missing, []);
    }
    expect(differences.join('\n')).toBe('');
    expect(noted).toBeGreaterThan(10);
  });
});

function udevadm(): string {
  const udev = unpackedPackage('udev');
  return [join(udev, 'bin/udevadm'), join(udev, 'usr/bin/udevadm')].find((path) => existsSync(path)) ?? '';
}

function parseAnswers(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(text.split(/^@ /m).slice(1).map((answer) => {
    const [devpath = '', ...lines] = answer.trimEnd().split('\n');
    return [devpath, lines] as const;
  }));
}

/** `udevadm info -e`. */
function parseRecords(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(text.split('\n\n').map((record) => {
    const lines = record.split('\n');
    const of = (letter: string) => lines.filter((line) => line.startsWith(`${letter}: `)).map((line) => line.slice(3));
    return [of('P')[0] ?? '', of('E')] as const;
  }));
}
