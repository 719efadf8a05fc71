// npm run deb [-- [--no-build] DIRECTORY]: a Debian package of what npm packs, with the dependencies that npm would install.
//
// dpkg-deb writes it; the same sources give the same bytes (SOURCE_DATE_EPOCH, or the time of the last commit).

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ensureBuild, ensureNodeModules, top } from './setup.mjs';

const ARCHITECTURES = /** @type {Readonly<Record<string, string>>} */ ({ x64: 'amd64', arm64: 'arm64', riscv64: 'riscv64' });
const HOME = 'usr/lib/node_modules/tsmodprobe';

const words = process.argv.slice(2);
const isBuilt = words[0] === '--no-build';
ensureNodeModules();
if (!isBuilt) ensureBuild();
const target = resolve(words[isBuilt ? 1 : 0] ?? join(top, 'dist/deb'));
const manifest = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8'));
const architecture = ARCHITECTURES[process.arch];
if (architecture === undefined) throw new Error(`koffi has no library for ${process.arch}, so there is no package for it`);
const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-deb-'));
try {
  console.log(make(join(scratch, 'root')));
} finally {
  rmSync(scratch, { recursive: true });
}

/** Returns the path of the package. @param {string} root @returns {string} */
function make(root) {
  const home = join(root, HOME);
  const packed = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], top))[0];
  mkdirSync(home, { recursive: true });
  run('tar', ['-xzf', join(scratch, packed.filename), '-C', home, '--strip-components=1', '--no-same-owner']);
  for (const path of dependencies()) cpSync(join(top, path), join(home, path), { recursive: true });
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  for (const [name, file] of Object.entries(manifest.bin)) symlinkSync(relative('usr/bin', join(HOME, file)), join(root, 'usr/bin', name));
  put(root, 'usr/lib/systemd/system/tsudevd.service', readFileSync(join(top, 'packaging/systemd/tsudevd.service')));
  // Both do nothing until there is an /etc/tsmodprobe/initramfs.conf.
  put(root, 'usr/share/initramfs-tools/hooks/tsmodprobe', readFileSync(join(top, 'packaging/initramfs-tools/hooks/tsmodprobe')));
  chmodSync(join(root, 'usr/share/initramfs-tools/hooks/tsmodprobe'), 0o755);
  cpSync(join(top, 'packaging/dracut'), join(root, 'usr/lib/dracut/modules.d'), { recursive: true });
  for (const page of readdirSync(join(top, 'dist/man'))) put(root, `usr/share/man/man${page.slice(-1)}/${page}.gz`, gzipSync(readFileSync(join(top, 'dist/man', page)), { level: 9 }));
  putCompletions(root);
  const documents = 'usr/share/doc/tsmodprobe';
  put(root, `${documents}/copyright`, readFileSync(join(top, 'LICENSE')));
  put(root, `${documents}/changelog.gz`, gzipSync(readFileSync(join(top, 'CHANGELOG.md')), { level: 9 }));
  // Small containers leave documents out (path-exclude of dpkg): the files are npm's, the documents have a link.
  symlinkSync(relative(documents, join(HOME, 'packaging')), join(root, documents, 'packaging'));
  const files = readdirSync(root, { recursive: true, withFileTypes: true });
  for (const entry of files) if (!entry.isSymbolicLink()) setMode(join(entry.parentPath, entry.name), entry.isDirectory());
  writeControl(root, files.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)));
  const file = join(target, `tsmodprobe_${manifest.version}_${architecture}.deb`);
  mkdirSync(target, { recursive: true });
  const epoch = process.env.SOURCE_DATE_EPOCH ?? (spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: top, encoding: 'utf8' }).stdout?.trim() || '0');
  run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', root, `${file}.new`], top, { SOURCE_DATE_EPOCH: epoch });
  renameSync(`${file}.new`, file);
  return file;
}

/** bash and fish look for a file of the command's own name. @param {string} root */
function putCompletions(root) {
  const script = (shell) => Buffer.from(run(process.execPath, [join(top, 'dist/tskmod.cjs'), 'completion', shell], top));
  put(root, 'usr/share/bash-completion/completions/tskmod', script('bash'));
  put(root, 'usr/share/fish/vendor_completions.d/tskmod.fish', script('fish'));
  put(root, 'usr/share/zsh/vendor-completions/_tskmod', script('zsh'));
  for (const name of Object.keys(manifest.bin).filter((name) => name !== 'tskmod')) {
    symlinkSync('tskmod', join(root, `usr/share/bash-completion/completions/${name}`));
    symlinkSync('tskmod.fish', join(root, `usr/share/fish/vendor_completions.d/${name}.fish`));
  }
}

/** What npm ci --omit=dev would install here, as paths below the project. */
function dependencies() {
  const { packages } = JSON.parse(readFileSync(join(top, 'package-lock.json'), 'utf8'));
  return Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path]) => path).filter((path) => statSync(join(top, path), { throwIfNoEntry: false }) !== undefined).sort();
}

/** @param {string} root @param {readonly string[]} files */
function writeControl(root, files) {
  const sums = files.map((file) => `${createHash('md5').update(readFileSync(file)).digest('hex')}  ${relative(root, file)}\n`).sort();
  const kib = files.reduce((sum, file) => sum + Math.ceil(statSync(file).size / 1024), 0);
  put(root, 'DEBIAN/md5sums', sums.join(''));
  put(root, 'DEBIAN/control', `Package: tsmodprobe
Version: ${manifest.version}
Architecture: ${architecture}
Maintainer: tsmodprobe maintainers <maintainers@tsmodprobe.invalid>
Installed-Size: ${kib}
Depends: nodejs (>= ${manifest.engines.node.replace('>=', '')}), libc6, libstdc++6
Suggests: erofs-utils, squashfs-tools, qemu-system-x86
Section: admin
Priority: optional
Description: Linux kernel modules and devices on Node: kmod and udev in one
 tskmod does the work of modprobe, insmod, rmmod, lsmod, modinfo, depmod and
 kmod; tsudevd that of systemd-udevd, with the same rules, database and events.
 .
 The package changes nothing of the system by itself: the unit tsudevd.service
 is not enabled, and kmod and udev stay what they are. How to put it in their
 places is in /usr/share/doc/tsmodprobe/packaging.
`);
}

/** @param {string} root @param {string} name @param {string | Uint8Array} content */
function put(root, name, content) {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** As a package has them, whatever the umask was. @param {string} path @param {boolean} isDirectory */
function setMode(path, isDirectory) {
  chmodSync(path, isDirectory || (statSync(path).mode & 0o100) !== 0 ? 0o755 : 0o644);
}

/** @param {string} program @param {readonly string[]} args @param {string} [cwd] @param {Record<string, string>} [environment] */
function run(program, args, cwd, environment) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', env: { ...process.env, ...environment } });
  if (error || status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}
