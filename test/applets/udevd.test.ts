// tsudevd as a command: arguments in, text and exit code out.

import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeNative } from '../../native-bindings/fake.ts';
import type { AppletContext, Signal } from '../../src/applets/applet.ts';
import { parseUdevdCommand } from '../../src/applets/udevd-options.ts';
import { runUdevd } from '../../src/applets/udevd.ts';
import { UsageError } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import { sendControl } from '../../src/udev/control-socket.ts';
import { readStatus } from '../../src/udev/status-socket.ts';
import { VERSION } from '../../src/version.ts';
import { addDevices, eventBytes, fakeKmod, gate, makeRoot, ueventBytes } from '../udev/fakes.ts';
import type { FakeKmod, TemporaryRoot } from '../udev/fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
  mkdirSync(join(root.path, 'lib/modules/6.12.0-test'), { recursive: true });
  writeFileSync(join(root.path, 'lib/modules/6.12.0-test/modules.alias'), '');
  addDevices(root.path, { '/devices/a': { uevent: 'MODALIAS=x:a', subsystem: 'x' } });
});
afterEach(() => root.remove());

type Ran = { readonly status: Promise<number>; text(): { stdout: string; stderr: string }; signal(name: Signal): void; printed(pattern: RegExp): Promise<void> };

/** Starts the applet below the root of the test. Without `native`, asking for native calls is an error. */
function start(argv: readonly string[], options: { kmod?: FakeKmod; native?: FakeNative; isTty?: boolean; env?: Record<string, string> } = {}): Ran {
  const { kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }), native, isTty = false, env = {} } = options;
  const text = { stdout: '', stderr: '' };
  let handlers: Partial<Record<Signal, () => void>> = {};
  let onPrint = (): void => undefined;
  const context: AppletContext = {
    program: 'tsudevd',
    stdout: (chunk) => {
      text.stdout += chunk;
      onPrint();
    },
    stderr: (chunk) => {
      text.stderr += chunk;
      onPrint();
    },
    isTty: { stdout: isTty, stderr: isTty },
    env,
    openSystem: (systemOptions) => ({
      ...openSystem(systemOptions),
      native: async () => {
        if (!native) throw new Error('native calls were asked for');
        return native;
      },
    }),
    terminal: () => undefined,
    signals: (given) => {
      handlers = given;
      return () => {
        handlers = {};
      };
    },
  };
  return {
    status: runUdevd(['--root', root.path, '-S', '6.12.0-test', ...argv], context, () => kmod),
    text: () => ({ stdout: text.stdout.replaceAll(/in \d+ ms/g, 'in N ms'), stderr: text.stderr.replaceAll(/in \d+ ms/g, 'in N ms') }),
    signal: (name) => handlers[name]?.(),
    printed: (pattern) => new Promise((resolve) => {
      onPrint = () => {
        if (pattern.test(text.stdout + text.stderr)) resolve();
      };
      onPrint();
    }),
  };
}

describe('tsudevd --dry-run', () => {
  it('prints what would be loaded and why, and asks for no native call', async () => {
    const ran = start(['-n']);
    expect(await ran.status).toBe(0);
    expect(ran.text()).toEqual({
      stdout: [
        'would load a (/lib/modules/6.12.0-test/kernel/a.ko.xz)',
        '  because MODALIAS of /devices/a matches x:a* (/lib/modules/6.12.0-test/modules.alias.bin)',
        '1 device, 1 modalias (0 without a module), 1 module to load, 0 there already, 0 blacklisted',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  it('reads a sysfs and a module tree from elsewhere', async () => {
    const other = makeRoot();
    addDevices(other.path, { '/devices/b': { uevent: 'MODALIAS=x:b' } });
    const ran = start(['--sysfs', join(other.path, 'sys'), '--dry-run'], { kmod: fakeKmod({ 'x:b': [{ module: 'b' }] }) });
    expect(await ran.status).toBe(0);
    expect(ran.text().stdout).toContain('would load b ');
    other.remove();
  });

  it('prints its plan as one JSON object', async () => {
    const ran = start(['-n', '--json']);
    expect(await ran.status).toBe(0);
    expect(JSON.parse(ran.text().stdout)).toMatchObject({ devices: 1, aliases: [{ modalias: 'x:a', devices: ['/devices/a'], result: { goals: [{ module: 'a' }] } }] });
  });
});

describe('tsudevd --coldplug-only --no-rules', () => {
  it('loads, prints its summary, and ends well', async () => {
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] });
    const ran = start(['--coldplug-only', '--no-rules', '--settle=0'], { kmod });
    expect(await ran.status).toBe(0);
    expect(ran.text()).toEqual({
      stdout: '1 device, 1 modalias, 2 rounds, 1 module loaded in N ms\n\nmodule  ms  for         reason\na       12  /devices/a  x:a*\n',
      stderr: '',
    });
    expect({ executed: kmod.executed, closed: kmod.closed }).toEqual({ executed: ['x:a'], closed: 1 });
  });

  it('ends well when modules fail', async () => {
    const failure = { errno: 8, code: 'ENOEXEC', syscall: 'finit_module', text: 'Exec format error', kernel: [] };
    const ran = start(['--coldplug-only', '--no-rules'], { kmod: fakeKmod({ 'x:a': [{ module: 'a', outcome: 'failed', failure }] }) });
    expect(await ran.status).toBe(0);
    expect(ran.text().stdout).toContain('failed:\n  a for /devices/a: Exec format error (ENOEXEC)\n');
  });

  it('shows its progress on a terminal and leaves nothing of it', async () => {
    const ran = start(['--coldplug-only', '--no-rules', '--settle=0'], { isTty: true });
    expect(await ran.status).toBe(0);
    const line = 'coldplug: 1 devices, 1 modaliases, 1 modules loaded';
    expect(ran.text().stderr).toBe(`\r${line.replace('1 modules', '0 modules')}\r${line}\r${' '.repeat(line.length)}\r`);
  });

  it('fails where there is no /sys', async () => {
    rmSync(join(root.path, 'sys'), { recursive: true });
    const ran = start(['--coldplug-only', '--no-rules']);
    expect(await ran.status).toBe(1);
    expect(ran.text()).toEqual({ stdout: '', stderr: `tsudevd: ERROR: scandir ${root.path}/sys/devices: No such file or directory (ENOENT)\n` });
  });

  it('fails where there is no module tree, and says what to do', async () => {
    const ran = start(['--coldplug-only', '--no-rules', '-S', '1.0']);
    expect(await ran.status).toBe(1);
    expect(ran.text().stderr).toBe(
      `tsudevd: ERROR: no module tree ${root.path}/lib/modules/1.0: name one of these with --release: 6.12.0-test\n`,
    );
    rmSync(join(root.path, 'lib/modules/6.12.0-test/modules.alias'));
    const bare = start(['--coldplug-only', '--no-rules']);
    expect(await bare.status).toBe(1);
    expect(bare.text().stderr).toContain('has no modules.alias: run depmod 6.12.0-test');
  });

  it('says when it was interrupted', async () => {
    const begun = gate();
    const ran = start(['--coldplug-only', '--no-rules'], {
      kmod: fakeKmod({ 'x:a': [{ module: 'a' }] }, () => {
        begun.open();
        return gate().opened;
      }),
    });
    await begun.opened;
    ran.signal('SIGTERM');
    expect(await ran.status).toBe(1);
    expect(ran.text().stderr).toBe('tsudevd: ERROR: interrupted before the coldplug had settled\n');
  });
});

describe('tsudevd --no-rules', () => {
  it('coldplugs, tells that it is ready, handles events, reloads, and stops on SIGTERM', async () => {
    const native = openFakeNative();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:b': [{ module: 'b' }] });
    const ready = openSync(join(root.path, 'ready'), 'w');
    const ran = start(['--no-rules', '--ready-fd', String(ready)], { kmod, native, env: { NOTIFY_SOCKET: '@m' } });
    await ran.printed(/1 device,/);
    native.sockets[0]?.inject(eventBytes('/devices/b', 'x:b'));
    await ran.printed(/b loaded/);
    ran.signal('SIGHUP');
    await ran.printed(/read again/);
    ran.signal('SIGTERM');
    expect(await ran.status).toBe(0);
    expect(ran.text().stderr).toBe([
      'tsudevd: INFO: a loaded for /devices/a (12 ms)',
      'tsudevd: NOTICE: 1 device, 1 modalias, 1 module loaded in N ms',
      'tsudevd: INFO: b loaded for /devices/b (12 ms)',
      'tsudevd: NOTICE: configuration and indexes will be read again (SIGHUP)',
      '',
    ].join('\n'));
    expect(readFileSync(join(root.path, 'ready'), 'utf8')).toBe('\n');
    expect(kmod.reloads).toBe(1);
    const sent = native.calls.flatMap((call) => (call.call === 'sendUnixDatagram' ? [call.text.split(/[\n=]/)[0]] : []));
    expect(sent).toEqual(['READY', 'RELOADING', 'READY', 'STOPPING']);
    expect(native.sockets[0]?.closed).toBe(true);
  });

  it('reloads when the configuration changes', async () => {
    mkdirSync(join(root.path, 'etc/modprobe.d'), { recursive: true });
    const kmod = fakeKmod({});
    const native = openFakeNative();
    const ran = start(['--no-rules', '--no-coldplug', '-l', 'debug'], { kmod, native });
    await ran.printed(/watching/);
    writeFileSync(join(root.path, 'etc/modprobe.d/x.conf'), 'blacklist x\n');
    await ran.printed(/x\.conf changed/);
    ran.signal('SIGINT');
    expect(await ran.status).toBe(0);
    expect(kmod.reloads).toBe(1);
  });

  it('prints a JSON object for each walk and each request for modules', async () => {
    const native = openFakeNative();
    const ran = start(['--no-rules', '--json', '-l', 'error'], { kmod: fakeKmod({ 'x:a': [{ module: 'a' }], 'x:b': [{ module: 'b' }] }), native });
    await ran.printed(/"rounds"/);
    native.sockets[0]?.inject(eventBytes('/devices/b', 'x:b', { seqnum: 5 }));
    await ran.printed(/"x:b"/);
    ran.signal('SIGTERM');
    await ran.status;
    const [walk, request] = ran.text().stdout.trim().split('\n').map((line) => JSON.parse(line) as object);
    expect(walk).toMatchObject({ devices: 1, modaliases: 1, settled: true });
    expect(request).toMatchObject({ devpath: '/devices/b', modalias: 'x:b', result: { goals: [{ module: 'b', outcome: 'inserted' }] } });
  });

  it('stops while a load of the first coldplug is under way', async () => {
    const begun = gate();
    const load = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }, () => {
      begun.open();
      return load.opened;
    });
    const ran = start(['--no-rules'], { kmod, native: openFakeNative() });
    await begun.opened;
    ran.signal('SIGTERM');
    await ran.printed(/waiting for 1 events/);
    load.open();
    expect(await ran.status).toBe(0);
  });

  it('fails when the socket cannot be had, dies, or there is no /sys', async () => {
    const refused = start(['--no-rules'], { native: openFakeNative({ answers: [{ call: 'openUeventSocket', errno: 1 }] }) });
    expect(await refused.status).toBe(1);
    expect(refused.text().stderr).toBe('tsudevd: ERROR: bind NETLINK_KOBJECT_UEVENT: Operation not permitted (EPERM)\n');

    const native = openFakeNative();
    const dying = start(['--no-rules', '-l', 'notice'], { native });
    await dying.printed(/NOTICE/);
    native.sockets[0]?.fail(9);
    expect(await dying.status).toBe(1);

    rmSync(join(root.path, 'sys'), { recursive: true });
    const blind = openFakeNative();
    expect(await start(['--no-rules'], { native: blind }).status).toBe(1);
    expect(blind.sockets[0]?.closed).toBe(true);
  });
});

describe('tsudevd with rules', () => {
  const rulesFile = (name: string, text: string): void => {
    mkdirSync(join(root.path, 'etc/udev/rules.d'), { recursive: true });
    writeFileSync(join(root.path, 'etc/udev/rules.d', name), text);
  };
  const record = (id: string): string | undefined => {
    const path = join(root.path, 'run/udev/data', id);
    return existsSync(path) ? readFileSync(path, 'utf8').replace(/^I:\d+/m, 'I:N') : undefined;
  };
  beforeEach(() => {
    rulesFile('50-udev-default.rules', 'ENV{MODALIAS}=="?*", RUN{builtin}+="kmod load"\nENV{A}="1"\n');
  });

  it('--coldplug-only applies the rules, loads what they ask for, and ends', async () => {
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] });
    const native = openFakeNative();
    const ran = start(['--coldplug-only', '--settle=0'], { kmod, native });
    expect(await ran.status).toBe(0);
    expect(ran.text()).toEqual({
      stdout: '1 device, 1 modalias, 1 module loaded in N ms\n\nmodule  ms  for         reason\na       12  /devices/a  x:a*\n', stderr: '',
    });
    expect({ executed: kmod.executed, record: record('+x:a'), closed: native.sockets[0]?.closed }).toEqual({ executed: ['x:a'], record: 'I:N\nE:A=1\nV:1\n', closed: true });
  });

  it('works without modules: nodes and the database need none', async () => {
    const ran = start(['--coldplug-only', '--settle=0', '-S', '1.0'], { native: openFakeNative() });
    expect(await ran.status).toBe(0);
    expect(ran.text().stderr).toMatch(/^tsudevd: WARNING: no module tree .*\n$/);
    expect(record('+x:a')).toBe('I:N\nE:A=1\nV:1\n');
  });

  it('--until ends when the module is there, and leaves what does not lead to it alone', async () => {
    addDevices(root.path, { '/devices/z': { uevent: 'MODALIAS=x:z', subsystem: 'x' } });
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }], 'x:z': [{ module: 'z' }] }, (module) => {
      mkdirSync(join(root.path, 'sys/module', module), { recursive: true });
      writeFileSync(join(root.path, 'sys/module', module, 'initstate'), 'live\n');
    });
    const ran = start(['--until', 'z'], { kmod, native: openFakeNative() });
    expect(await ran.status).toBe(0);
    expect(kmod.executed).toEqual(['x:z']);
  });

  it('--until fails when nothing is left to do and the goal has not come', async () => {
    const ran = start(['--until', 'UUID=no-such', '--timeout', '0', '--settle', '0', '-l', 'error'], { native: openFakeNative() });
    expect(await ran.status).toBe(1);
    expect(ran.text().stderr).toBe('tsudevd: ERROR: UUID=no-such has not come: nothing is left to do\n');
  });

  it('obeys its control socket, answers on its status socket, and reads rules again when they change', async () => {
    const native = openFakeNative();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] });
    const ran = start(['-l', 'debug'], { kmod, native });
    await ran.printed(/watching /);
    const system = openSystem({ root: root.path, native });
    expect(await readStatus(system)).toMatchObject({ schema: 1, pid: process.pid, pending: [], events: { made: 1, done: 1, failed: 0, queued: 0 }, modules: { loaded: 1 } });
    rulesFile('60-more.rules', 'ENV{B}="$env{A}-2"\n');
    await ran.printed(/60-more\.rules changed/);
    expect(await sendControl(system, [{ type: 'env', value: 'GLOBAL=x' }, { type: 'children-max', value: 3 }, { type: 'ping' }], { timeoutMs: 5000 })).toBe(true);
    native.sockets[0]?.inject(ueventBytes({ ACTION: 'change', DEVPATH: '/devices/a', SUBSYSTEM: 'x', MODALIAS: 'x:a', SEQNUM: '7' }));
    while (!record('+x:a')?.includes('E:B=1-2')) await new Promise((resolve) => setImmediate(resolve));
    rulesFile('60-more.rules', 'ENV{B}==\n');
    await ran.printed(/60-more\.rules is faulty: the rules that it had stay in force/);
    await sendControl(system, [{ type: 'exit' }], { timeoutMs: 5000 });
    expect(await ran.status).toBe(0);
    expect({ control: existsSync(join(root.path, 'run/udev/control')), queue: existsSync(join(root.path, 'run/udev/queue')), status: await readStatus(system) })
      .toEqual({ control: false, queue: false, status: undefined });
    expect(native.calls.filter(({ call }) => call === 'limitCapabilities')).toEqual([{ call: 'limitCapabilities', keep: '40d2310ff' }]);
  });

  it('--keep-capabilities keeps them', async () => {
    const native = openFakeNative();
    expect(await start(['--coldplug-only', '--settle=0', '--keep-capabilities'], { native }).status).toBe(0);
    expect(native.calls.some(({ call }) => call === 'limitCapabilities')).toBe(false);
  });
});

describe('parseUdevdCommand', () => {
  it.each([
    [['extra'], "tsudevd: unexpected argument 'extra'"],
    [['--jobs', '0'], "tsudevd: --jobs takes a number from 1 to 64, not '0'"],
    [['--ready-fd', '1'], "tsudevd: --ready-fd takes a number from 3 to 1048576, not '1'"],
    [['--log-level', 'loud'], "tsudevd: --log-level takes error, warn, notice, info, debug, not 'loud'"],
    [['--log-target', 'syslog'], "tsudevd: --log-target takes stderr or kmsg, not 'syslog'"],
    [['--no-coldplug', '-n'], 'tsudevd: --no-coldplug leaves nothing to do with --dry-run'],
    [['--bogus'], "tsudevd: unrecognized option '--bogus'"],
  ])('refuses %j', (argv, message) => {
    expect(() => parseUdevdCommand(argv, 'tsudevd')).toThrow(new UsageError(message));
  });

  it('knows help and version', async () => {
    const help = start(['-h']);
    expect(await help.status).toBe(0);
    expect(help.text().stdout).toMatch(/^Usage: tsudevd \[OPTION\]/);
    const version = start(['--version']);
    expect(await version.status).toBe(0);
    const { version: packaged } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
    expect([version.text().stdout, VERSION]).toEqual([`tsmodprobe ${packaged}\n`, packaged]);
  });
});
