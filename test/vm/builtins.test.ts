// On captured machines, builtins of ours say of every device what Debian's say in the machine itself.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';

import { UDEVD_COLDPLUG } from '../../scripts/debian-guest.mjs';
import { runBuiltin } from '../udev/builtin/run-builtin.ts';
import { writeSysfs } from '../udev/captured-sysfs.ts';
import { BUILTIN_MACHINES } from './builtin-machines.ts';
import { debianKernel, runDebians, whyNoVm } from './guests.ts';

/** Which builtin is asked of which devices; of the others it knows nothing in both. */
const QUESTIONS: Readonly<Record<string, string>> = { path_id: '/', usb_id: '/usb[0-9]', input_id: '/input/' };
/** Hundreds of devices that are all alike: consoles, firmware tables, cores. udevadm takes a fifth of a second here. */
const ALIKE = '/virtual/\\(tty\\|vc\\|mem\\|misc\\|bdi\\|workqueue\\|vtconsole\\)/\\|/system/\\|/LNXSYSTM\\|/serial8250/\\|/wakeup[0-9]*$\\|/breakpoint';

const CAPTURE = `
node /capture-sysfs.mjs /tmp/sysfs
grep '^P: ' /tmp/sysfs | cut -c4- | grep -v '${ALIKE}' > /tmp/devices
{
${Object.entries(QUESTIONS).map(([name, part]) => `
grep '${part}' /tmp/devices | while read -r device; do
  echo "@ ${name} $device"
  udevadm test-builtin ${name} "/sys$device" 2> /dev/null
done`).join('\n')}
} > /tmp/answers
vmctl put /tmp/sysfs /tmp/answers
`;

const CASES = Object.entries(BUILTIN_MACHINES).flatMap(([name, machine]) => ['6.12', '6.1'].map((series) => ({ name, machine, series })));

describe.each(CASES)('builtins on the machine $name, $series', ({ machine, series }) => {
  it('are Debian\'s, for every device', async (context) => {
    const reason = whyNoVm();
    if (reason !== undefined) return context.skip(reason);
    const kernel = await debianKernel(series);
    if (typeof kernel === 'string') return context.skip(kernel);
    const files = [{ source: fileURLToPath(new URL('capture-sysfs.mjs', import.meta.url)), target: '/capture-sysfs.mjs' }];
    const result = await runDebians(kernel, `${UDEVD_COLDPLUG}sleep 2\nudevadm settle\n${CAPTURE}`, { ...machine, files, timeoutSeconds: 280 });
    expect(result.exitCode, result.console).toBe(0);
    const sys = mkdtempSync(join(tmpdir(), 'tsudevd-sysfs-'));
    onTestFinished(() => rmSync(sys, { recursive: true, force: true }));
    writeSysfs(sys, result.files.get('sysfs')?.toString('utf8') ?? '');
    const answers = parseAnswers(result.files.get('answers')?.toString('utf8') ?? '');
    expect(answers.size).toBeGreaterThan(100);
    const differences: string[] = [];
    for (const [question, theirs] of answers) {
      const [name = '', devpath = ''] = question.split(' ');
      const ours = (await runBuiltin(sys, name, devpath)).filter((line) => !NOT_IN_252.test(line));
      if (ours.join('\n') !== theirs.join('\n')) differences.push(`${question}\n  - ${theirs.join('\n  - ')}\n  + ${ours.join('\n  + ')}`);
    }
    expect(differences).toEqual([]);
  });
});

/** Made by udev 255 and later; and sizes need the node itself. */
const NOT_IN_252 = /^ID_PATH_WITH_USB_REVISION=/;

function parseAnswers(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(text.split(/^@ /m).slice(1).map((answer) => {
    const [question = '', ...lines] = answer.trimEnd().split('\n');
    return [question, lines.filter((line) => !/^ID_INPUT_(?:WIDTH|HEIGHT)_MM=/.test(line))] as const;
  }));
}
