// Debian's `udevadm test-builtin` on a sysfs in a directory: 252 takes any tree for /sys when told so.

import { spawnSync } from 'node:child_process';

const SCRIPT = `
mount --make-rprivate / && mount --bind "$1" /sys && mount -t tmpfs none /run || exit 1
while IFS= read -r device; do
  printf '@ %s\\n' "$device"
  "$2" test-builtin "$3" "/sys$device" 2> /dev/null
done
true
`;

/** What it prints for each device, in a mount namespace of its own. Throws where there may be none. */
export function udevadmTestBuiltin(udevadm: string, sys: string, command: string, devpaths: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('unshare', ['-m', 'sh', '-c', SCRIPT, 'sh', sys, udevadm, command], {
    input: devpaths.map((devpath) => `${devpath}\n`).join(''), encoding: 'utf8', maxBuffer: 1 << 26,
    // systemd's docs/ENVIRONMENT.md: what is mounted at /sys need not be sysfs.
    env: { ...process.env, SYSTEMD_DEVICE_VERIFY_SYSFS: '0', SYSTEMD_LOG_LEVEL: 'err' },
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`unshare: ${stderr}`);
  return stdout;
}
