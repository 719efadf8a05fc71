// Namespaces with a /run and /dev of their own, in which Debian's udev 252 and ours work on this machine's devices and disturb nobody.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

import { unpackedPackage } from '../../scripts/debian-package.mjs';
import type { Step } from './udev-worker.ts';

const here = dirname(fileURLToPath(import.meta.url));
const top = dirname(dirname(here));

/** Why there can be no namespace here, or undefined. With CI=true that is a failure, not a reason. */
export function whyNoNamespace(): string | undefined {
  const { status, stderr } = spawnSync('unshare', ['-mn', 'true'], { encoding: 'utf8' });
  if (status === 0) return undefined;
  if (process.env['CI'] === 'true') throw new Error(`unshare -mn: ${stderr}`);
  return `no namespaces: ${stderr.trim()}`;
}

/** Debian's udevadm, unpacked and not installed. */
export function udevadm252(): string {
  const udev = unpackedPackage('udev');
  return ['bin/udevadm', 'usr/bin/udevadm'].map((path) => join(udev, path)).find((path) => existsSync(path)) ?? '';
}

/** A new /run, and a /dev that is a copy in a tmpfs: no devtmpfs, so that nodes can be missing. No rules but those in /run/udev/rules.d. */
const PREPARE = `
set -eu
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/dev /mnt/empty
cp -a /dev/. /mnt/dev/ 2>/dev/null || true
rm -rf /mnt/dev/char /mnt/dev/block /mnt/dev/disk
mount --bind /mnt/dev /dev
for d in /etc/udev/rules.d /lib/udev/rules.d; do if [ -d $d ]; then mount --bind /mnt/empty $d; fi; done
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
`;

/**
 * Runs a shell script there. `$UDEVADM` is Debian's, `ours 'STEPS'` runs our pieces. Returns its output; throws with all that was said
 * when it fails. With `processes` all that it started ends with it.
 */
export function inNamespace(worker: string, script: string, { network = false, processes = false } = {}): string {
  const prepare = `${PREPARE}${network ? 'mount -t sysfs none /sys\n' : ''}ours() { "$NODE" "$WORKER" "$@"; }\n`;
  const { status, stdout, stderr } = spawnSync('unshare', [network ? '-mn' : '-m', ...(processes ? ['-pf', '--kill-child', '--mount-proc'] : []), 'sh', '-c', prepare + script], {
    encoding: 'utf8', maxBuffer: 1 << 26, timeout: 110_000,
    env: { ...process.env, NODE_PATH: join(top, 'node_modules'), NODE: process.execPath, WORKER: worker, UDEVADM: udevadm252() },
  });
  if (status !== 0) throw new Error(`status ${status}: ${stderr}${stdout}`);
  return stdout;
}

/** The steps as one word of a shell script. */
export function steps(...list: readonly Step[]): string {
  return `'${JSON.stringify(list).replaceAll("'", "'\\''")}'`;
}

/** One file with udev-worker.ts and what it imports. */
export async function buildWorker(): Promise<{ readonly path: string; remove(): void }> {
  const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-worker-'));
  const path = join(directory, 'worker.mjs');
  const { outputFiles } = await build({
    entryPoints: [join(here, 'udev-worker.ts')], bundle: true, write: false, platform: 'node', format: 'esm', external: ['koffi', 'chokidar'], logLevel: 'warning',
  });
  writeFileSync(path, outputFiles[0]?.text ?? '');
  return { path, remove: () => rmSync(directory, { recursive: true }) };
}
