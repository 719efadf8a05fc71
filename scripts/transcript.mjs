// npm run transcript [-- machine]: runs the commands that README shows, and writes there what they printed.
//
// Those on the captured machine print the same everywhere, and a test compares them. Those in a guest take a minute and have times in them.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = dirname(dirname(fileURLToPath(import.meta.url)));
export const README = join(top, 'README.md');

const MACHINE = '--root examples/q35 -S 6.12.117+deb12-amd64';
const ON_MACHINE = [
  `tskmod why ${MACHINE} e1000e`,
  `tskmod why ${MACHINE} /devices/pci0000:00/0000:00:02.0`,
  'tsmodprobe -d examples/q35 -S 6.12.117+deb12-amd64 -D virtio_scsi',
];

/** Of the first, the head and some rows. */
const IN_GUEST = ['tsudevd --coldplug-only', 'modprobe -v xfs', 'modprobe dummy numdummies=many'];
const ROWS_SHOWN = 8;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let text = withTranscript(readFileSync(README, 'utf8'), 'machine', machineTranscript());
  if (process.argv[2] !== 'machine') text = withTranscript(text, 'guest', guestTranscript());
  writeFileSync(README, text);
}

/** The text between the fences that follow the comment of this name. @param {string} readme @param {string} name @returns {string} */
export function transcriptIn(readme, name) {
  const found = new RegExp(`<!-- transcript ${name}[^>]*-->\\n\`\`\`\\n(.*?)\`\`\`\\n`, 's').exec(readme)?.[1];
  if (found === undefined) throw new Error(`README.md has no transcript of the ${name}`);
  return found;
}

/** @param {string} readme @param {string} name @param {string} text */
function withTranscript(readme, name, text) {
  const old = transcriptIn(readme, name);
  const at = readme.indexOf('```\n', readme.indexOf(`<!-- transcript ${name}`)) + 4;
  return readme.slice(0, at) + text + readme.slice(at + old.length);
}

/** Wherever this checkout lies, it is called ~/tsmodprobe. @returns {string} */
export function machineTranscript() {
  return ON_MACHINE.map((command) => {
    const [name = '', ...words] = command.split(' ');
    const applet = name === 'tskmod' ? [] : [name.replace(/^ts/, '')];
    return `$ ${command}\n${run([...applet, ...words])}`;
  }).join('').replaceAll(`${top}/`, '~/tsmodprobe/').replaceAll(/ +$/gm, '');
}

/** @returns {string} */
function guestTranscript() {
  const out = mkdtempSync(join(tmpdir(), 'tsmodprobe-transcript-'));
  try {
    const script = IN_GUEST.map((command) => `echo '$ ${command}'; ${command} 2> /tmp/errors; grep -v 'coldplug: ' /tmp/errors`).join('\n');
    run(['vm', '--machine', 'q35', '--timeout', '600', '--out', out, '--', `mkdir /tmp/bin; ln -s "$(command -v tsmodprobe)" /tmp/bin/modprobe; PATH=/tmp/bin:$PATH\n{\n${script}\n} > /tmp/transcript\nvmctl put /tmp/transcript`]);
    const lines = readFileSync(join(out, 'transcript'), 'utf8').split('\n');
    const end = lines.findIndex((line, i) => i > 0 && line.startsWith('$ '));
    return [...lines.slice(0, ROWS_SHOWN), '…', ...lines.slice(end - 1)].join('\n').replaceAll(/ +$/gm, '');
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** @param {readonly string[]} words @returns {string} */
function run(words) {
  const { error, status, stdout, stderr } = spawnSync(process.execPath, [join(top, 'dist/tskmod.cjs'), ...words], { cwd: top, encoding: 'utf8' });
  if (error) throw error;
  if (words[0] === 'vm' ? status !== 0 : stderr !== '') throw new Error(`${words.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}
