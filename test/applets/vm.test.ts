// Tests of the command line of tskmod vm. What it boots is tested in test/vm.

import { describe, expect, it } from 'vitest';

import { parseVmArguments, runVmApplet } from '../../src/applets/vm.ts';

describe('parseVmArguments', () => {
  it('reads every option, and leaves those after the command to it', () => {
    const argv = [
      '--kernel', '6.1', '--machine=q35', '--memory', '512', '--smp', '2', '--device', 'a', '--device', 'b', '--file', '/a:b:/c', '--overlay', 'o',
      '--node', 'n', '--helper', 'none', '--append', 'x y', '--bzimage', '--out', 'out', '--timeout', '9', '--qmp', 's', '--kvm', 'off', '--disk', '/dev/null,nvme,ro', '--log', 'l', '--bundle', 'm', '--share', '/usr:/mnt,ro', '--json', 'ls', '--color',
    ];
    expect(parseVmArguments(argv)).toEqual({
      json: true,
      log: 'l',
      shell: false,
      options: {
        command: ['ls', '--color'], kernel: '6.1', modulesDirectory: undefined, modulesFile: 'm', shares: [{ directory: '/usr', target: '/mnt', readOnly: true }], machine: 'q35', memoryMiB: 512, cpus: 2, devices: ['a', 'b'],
        files: [{ source: '/a:b', target: '/c' }], overlays: ['o'], node: 'n', helper: 'none', append: 'x y', boot: 'bzimage',
        outDirectory: 'out', timeoutSeconds: 9, qmpSocket: 's', include: [],
        initrd: undefined, disks: [{ file: '/dev/null', bus: 'nvme', readOnly: true }], kvm: 'off',
      },
    });
  });

  it('takes a script with --run, and an initramfs without any command', () => {
    expect(parseVmArguments(['--run', 'echo a; exit 3'])).toMatchObject({ options: { command: 'echo a; exit 3', kvm: 'auto' } });
    expect(parseVmArguments(['--initrd', 'i'])).toMatchObject({ options: { command: undefined, initrd: 'i' } });
  });

  it('takes globs of modules, and a shell that nobody is to wait for', () => {
    expect(parseVmArguments(['--include', 'kernel/fs/*', '--shell'])).toMatchObject({ shell: true, options: { command: undefined, include: ['kernel/fs/*'], timeoutSeconds: 604_800 } });
  });

  it('takes one word as a script', () => {
    expect(parseVmArguments(['--', 'echo a; exit 3'])).toMatchObject({ json: false, options: { command: 'echo a; exit 3', boot: 'pvh' } });
  });
});

describe('tskmod vm', () => {
  it.each([
    [[], 'what is the guest to run? See tskmod vm --help'],
    [['--machine', 'pdp11', 'true'], '--machine pdp11: there are minimal and q35'],
    [['--memory', '1G', 'true'], '--memory 1G: not a positive number'],
    [['--file', 'a:b', 'true'], '--file a:b: not SRC:DEST with an absolute DEST'],
    [['--disk', '/dev/null,scsi', 'true'], '--disk /dev/null,scsi: not FILE[,virtio|nvme|none][,ro]'],
    [['--kvm', 'maybe', 'true'], '--kvm maybe: there are auto and off'],
    [['--initrd', 'i', 'true'], '--initrd and a command: an initramfs of its own runs what it wants'],
    [['--run', 'a', 'b'], '--run and a command: one of them'],
    [['--shell', 'true'], '--shell and something else to run: one of them'],
    [['--shell'], '--shell needs a terminal on standard input; --run COMMAND does not'],
    [['--bundle', 'm', '--include', 'g', 'true'], '--include chooses from a directory of modules; a --bundle is taken as it is'],
    [['--share', '/nosuch:/mnt', 'true'], '--share /nosuch: no such directory'],
    [['--frob', 'true'], "tskmod vm: unrecognized option '--frob'"],
  ])('refuses %j with 126', async (argv, message) => {
    const errors: string[] = [];
    const status = await runVmApplet(argv, { stdout: () => undefined, stderr: (text) => errors.push(text), isTty: false });
    expect([status, errors.join('')]).toEqual([126, `${message.startsWith('tskmod') ? '' : 'tskmod vm: '}${message}\n`]);
  });

  it('prints its usage', async () => {
    const output: string[] = [];
    expect(await runVmApplet(['--help'], { stdout: (text) => output.push(text), stderr: () => undefined, isTty: true })).toBe(0);
    expect(output.join('')).toMatch(/^usage: tskmod vm /);
  });
});
