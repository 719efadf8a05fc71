// Makes dist/tskmod.cache/: what V8 compiled of each part of the executable while that did typical work. Only this Node takes
// it; any other compiles for itself, and so does this one where a file is missing or damaged.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);

/**
 * Runs the executable on a small module tree, in a process of its own for each command, and keeps the code.
 * @param {string} executable
 */
export async function makeCodeCache(executable) {
  const directory = join(dirname(executable), 'tskmod.cache');
  const root = mkdtempSync(join(tmpdir(), 'tsmodprobe-build-'));
  try {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    await writeTree(root);
    const made = spawnSync(process.execPath, [executable, ...bundleOf(root)], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`tskmod bundle failed for the code cache: ${made.stderr || made.signal}`);
    for (const args of typicalCommands(root)) {
      const done = spawnSync(process.execPath, [self, directory, executable, ...args], { encoding: 'utf8' });
      if (done.error) throw done.error;
      if (done.status !== 0 && args[0] !== 'lsmod') throw new Error(`tskmod ${args.join(' ')} failed for the code cache: ${done.stderr || done.signal || done.status}`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** The first that loads a part says what is kept of it. A machine without modules in its kernel has no list of them. */
function typicalCommands(root) {
  const machine = join(dirname(dirname(self)), 'examples/q35');
  const [release] = readdirSync(join(machine, 'lib/modules'));
  return [
    ['modprobe', '-n', '-d', root, '-C', join(root, 'modprobe.d'), 'a'],
    ['lsmod'],
    ['udevd', '--dry-run', '--root', machine, '-S', release],
    ['modprobe', '-n', '--modules', join(root, 'image'), '-S', 'whole', '-C', join(root, 'modprobe.d'), 'a'],
    bundleOf(root),
  ];
}

function bundleOf(root) {
  return ['bundle', 'create', '--from', join(root, 'whole'), '-S', 'whole', '-o', join(root, 'image')];
}

/** Module a needs b, and by an alias c. The indexes are so large that they are read in parts. */
async function writeTree(root) {
  const { buildIndex } = await import(join(dirname(dirname(self)), 'dist/src/kmod/index-build.js'));
  const tree = join(root, 'lib/modules', release());
  const write = (name, entries) => writeFileSync(join(tree, name), buildIndex(entries.map(([key, value], priority) => ({ key, value, priority }))).bytes);
  mkdirSync(tree, { recursive: true });
  mkdirSync(join(root, 'modprobe.d'));
  const many = Array.from({ length: 1000 }, (_, i) => [`m${i}`, `kernel/m/m${i}.ko.xz:`]);
  write('modules.dep.bin', [['a', 'kernel/a.ko.xz: kernel/b.ko.xz'], ['b', 'kernel/b.ko.xz:'], ['c', 'kernel/c.ko.xz:'], ['cd', 'kernel/cd.ko.xz:'], ...many]);
  write('modules.alias.bin', [['crypto_c', 'c'], ['crypto_c*', 'c'], ['crypto_[d-f]?', 'd'], ['fs_a', 'a'], ['pci:v*d*', 'cd'], ...many]);
  write('modules.builtin.bin', [['vt', '']]);
  writeFileSync(join(tree, 'modules.softdep'), '# a comment\nsoftdep a pre: crypto-c\n');
  // And one with modules, which no command of the above opens.
  const { DEPMOD_FILES } = await import(join(dirname(dirname(self)), 'dist/src/kmod/depmod-write.js'));
  const whole = join(root, 'whole');
  for (const path of ['kernel/a/a.ko', 'kernel/b/b.ko']) {
    mkdirSync(dirname(join(whole, path)), { recursive: true });
    writeFileSync(join(whole, path), '');
  }
  for (const { name } of DEPMOD_FILES) writeFileSync(join(whole, name), '');
  writeFileSync(join(whole, 'modules.dep'), 'kernel/a/a.ko: kernel/b/b.ko\nkernel/b/b.ko:\n');
  for (const name of readdirSync(tree).filter((file) => file.endsWith('.bin'))) copyFileSync(join(tree, name), join(whole, name));
  writeFileSync(join(root, 'modprobe.d/a.conf'), '# a comment\nblacklist cd\noptions a debug=1\nalias net-pf-1 a\n');
}

if (process.argv[1] === self) {
  const [node, , directory, executable, ...args] = process.argv;
  process.argv = [node, executable, ...args];
  let made;
  // The executable ends the process itself.
  process.on('exit', () => {
    for (const [name, script] of made.scripts) {
      if (existsSync(join(directory, name))) continue;
      const code = script.createCachedData();
      writeFileSync(join(directory, name), Buffer.concat([Buffer.from(made.header, 'latin1'), code, code, Buffer.from(made.text(name), 'latin1')]));
    }
  });
  made = createRequire(self)(executable);
}
