// npm run deb: what dpkg makes of the package, and that its programs run from where it puts them.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const TOP = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { version } = JSON.parse(readFileSync(join(TOP, 'package.json'), 'utf8')) as { version: string };
const reason = existsSync('/usr/bin/dpkg-deb') ? undefined : 'dpkg is not here';

let scratch = '';
let file = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-deb-test-'));
  if (reason === undefined) file = build('first');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function build(name: string): string {
  return run(process.execPath, [join(TOP, 'scripts/deb.mjs'), '--no-build', join(scratch, name)]).trim();
}

function run(program: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env: environment });
  expect(status, `${program} ${args.join(' ')}\n${stderr}`).toBe(0);
  return stdout;
}

describe.skipIf(reason !== undefined)(`the Debian package${reason === undefined ? '' : ` (${reason})`}`, () => {
  it('is the same each time', () => {
    expect(readFileSync(build('second')).equals(readFileSync(file))).toBe(true);
  });

  it('says what it is and needs', () => {
    const fields = run('dpkg-deb', ['-f', file, 'Package', 'Version', 'Depends']);
    expect(fields).toBe(`Package: tsmodprobe\nVersion: ${version}\nDepends: nodejs (>= 20.19), libc6, libstdc++6\n`);
  });

  it('is installed, runs, is whole, and is removed without a trace', () => {
    const root = join(scratch, 'root');
    const admin = join(root, 'var/lib/dpkg');
    mkdirSync(join(admin, 'updates'), { recursive: true });
    mkdirSync(join(admin, 'info'));
    run('touch', [join(admin, 'status'), join(admin, 'available')]);
    // dpkg asks for ldconfig and start-stop-daemon in PATH.
    const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
    const dpkg = (...args: readonly string[]) => run('dpkg', [`--root=${root}`, '--force-depends', '--force-not-root', '--force-script-chrootless', ...args], environment);
    dpkg('--install', file);
    expect(dpkg('--verify', 'tsmodprobe')).toBe('');
    expect(readdirSync(join(root, 'usr/bin')).sort()).toEqual(['tskmod', 'tsmodprobe', 'tsudevadm', 'tsudevd']);
    for (const program of ['tskmod', 'tsudevd']) expect(run(join(root, 'usr/bin', program), ['--version'])).toContain(version);
    expect(gunzipSync(readFileSync(join(root, 'usr/share/man/man8/tsmodprobe.8.gz'))).toString()).toMatch(/^\.TH "TSMODPROBE" 8 /);
    expect(readFileSync(join(root, 'usr/share/bash-completion/completions/tsudevadm'), 'utf8')).toContain('complete -F _tskmod tskmod ');
    expect(readFileSync(join(root, 'usr/share/fish/vendor_completions.d/tsmodprobe.fish'), 'utf8')).toContain("complete -c $name -f -a '(__tskmod)'");
    expect(readFileSync(join(root, 'usr/share/zsh/vendor-completions/_tskmod'), 'utf8')).toMatch(/^#compdef tskmod /);
    // Hooks that wait for a configuration; the link that small containers leave out; nothing that is active.
    expect(spawnSync(join(root, 'usr/share/initramfs-tools/hooks/tsmodprobe'), [], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(run('bash', ['-c', '. "$0"; check; echo $?', join(root, 'usr/lib/dracut/modules.d/99tsmodprobe/module-setup.sh')])).toBe('255\n');
    expect(readFileSync(join(root, 'usr/share/doc/tsmodprobe/packaging/README.md'), 'utf8')).toContain('# Installing');
    expect(existsSync(join(root, 'etc')) || existsSync(join(root, 'usr/lib/tmpfiles.d')) || existsSync(join(root, 'usr/lib/sysctl.d'))).toBe(false);
    const home = join(root, 'usr/lib/node_modules/tsmodprobe');
    // With the FFI.
    expect(run(process.execPath, ['--input-type=module', '-e', `
      const { openSystem } = await import(${JSON.stringify(join(home, 'dist/src/index.js'))});
      console.log((await openSystem().native()).uname().release)`])).toBe(run('uname', ['-r']));
    dpkg('--purge', 'tsmodprobe');
    expect(existsSync(join(root, 'usr'))).toBe(false);
  });
});
