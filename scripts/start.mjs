// npm start: boots a real kernel in QEMU and shows what tsmodprobe does there. Without QEMU: a dry run on a captured machine.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuild, ensureDebianPackages, ensureNodeModules, top } from './setup.mjs';

const PACKAGES = ['kmod', 'busybox-static', 'xz-utils', 'zstd', 'qemu-system-x86'];

/** What the guest does. Its results go to the host as files, for the summary. */
const GUEST = `
title() { printf '\\n== %s\\n' "$*"; }
title 'coldplug: a disk controller, a NIC, USB and sound'
tsudevd --coldplug-only --json > /tmp/coldplug.json
title 'hotplug: tsudevd stays, and a random number generator is plugged in'
mkfifo /tmp/ready
tsudevd --no-coldplug --json --ready-fd 5 5> /tmp/ready > /tmp/hotplug.json &
daemon=$!
read -r line < /tmp/ready
vmctl hmp device_add virtio-rng-pci,bus=rp0
for i in $(seq 1 100); do
  set -- /sys/bus/virtio/drivers/virtio_rng/virtio*
  [ -e "$1" ] && break
  sleep 0.1
done
echo "bound: $(readlink -f "$1")"
kill -TERM $daemon
wait $daemon
title 'by name: tsmodprobe -v xfs'
tsmodprobe -v xfs
tsmodprobe --json -D xfs > /tmp/xfs.json
vmctl put /tmp/coldplug.json /tmp/hotplug.json /tmp/xfs.json
`;

ensureNodeModules();
const reason = process.platform !== 'linux' ? 'this is not Linux' : ensureDebianPackages(PACKAGES);
ensureBuild();
if (reason === undefined) await demonstrate();
else dryRun(reason.split('\n', 1)[0] ?? reason);

async function demonstrate() {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const { formatStory } = await import('./story.mjs');
  const started = performance.now();
  const result = await runVm({
    kernel: '6.12', machine: 'q35', boot: 'bzimage', append: 'loglevel=6', command: GUEST, timeoutSeconds: 300,
    onConsole: (text) => process.stdout.write(text), onProgress: (line) => console.error(line),
  }).catch((error) => error);
  if (result instanceof Error) return dryRun(result.message);
  if (result.exitCode !== 0) {
    console.error(`the guest ended with exit code ${result.exitCode} (${result.outcome})`);
    process.exitCode = 1;
    return;
  }
  const file = (name) => result.files.get(name)?.toString('utf8') ?? '';
  console.log(`\n${formatStory({ coldplug: file('coldplug.json'), hotplug: file('hotplug.json'), xfs: file('xfs.json') }).join('\n')}`);
  console.log(`\nLinux ${result.release} in QEMU, ${((performance.now() - started) / 1000).toFixed(0)} s in all.`);
}

/** @param {string} why */
function dryRun(why) {
  console.log(`No virtual machine (${why}): here is the dry run of a captured machine instead, examples/q35.\n`);
  const root = join(top, 'examples/q35');
  const [release] = readdirSync(join(root, 'lib/modules'));
  const args = [join(top, 'dist/tskmod.cjs'), 'tsudevd', '--dry-run', '--root', root, '-S', release ?? ''];
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
}
