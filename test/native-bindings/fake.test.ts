import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';

describe('openFakeNative', () => {
  it('records calls in order and loads everything without a script', async () => {
    const native = openFakeNative();
    const memfd = native.memfdCreate('snd-hda-intel');
    if ('errno' in memfd) throw new Error(`errno ${memfd.errno}`);
    writeSync(memfd.fd, 'an image');
    expect(await native.finitModule(memfd.fd, 'power_save=1', 0)).toBe(0);
    closeSync(memfd.fd);
    expect(await native.initModule(Buffer.from('other'), '')).toBe(0);
    expect(native.deleteModule('snd_hda_intel', 2048)).toBe(0);
    expect(native.sendUnixDatagram('@notify', Buffer.from('READY=1'))).toBe(0);
    expect(native.sendUevent(Buffer.from('libudev\0'), 2)).toBe(0);

    expect(native.calls).toEqual([
      { call: 'memfdCreate', module: 'snd_hda_intel' },
      { call: 'finitModule', module: 'snd_hda_intel', params: 'power_save=1', flags: 0 },
      { call: 'initModule', size: 5, params: '' },
      { call: 'deleteModule', module: 'snd_hda_intel', flags: 2048 },
      { call: 'sendUnixDatagram', path: '@notify', text: 'READY=1' },
      { call: 'sendUevent', text: 'libudev\0', groups: 2 },
    ]);
    expect(native.loads).toEqual([
      { module: 'snd_hda_intel', params: 'power_save=1', flags: 0, image: Buffer.from('an image') },
      { module: '', params: '', flags: 0, image: Uint8Array.from(Buffer.from('other')) },
    ]);
  });

  it('knows the module of a file, and its bytes', () => {
    const native = openFakeNative();
    const fd = openSync(import.meta.filename, 'r');
    native.finitModuleSync(fd, '', 4);
    closeSync(fd);
    expect(native.loads).toEqual([{ module: 'fake.test.ts', params: '', flags: 4, image: readFileSync(import.meta.filename) }]);
  });

  it('answers from the first line of the script that matches, as often as it says', async () => {
    const native = openFakeNative({
      answers: [
        { call: 'finitModule', module: 'xfs', errno: 11, times: 1 },
        { call: 'finitModule', params: 'bad=1', errno: 22 },
        { call: 'deleteModule', module: 'xfs', errno: 11 },
        { call: 'memfdCreate', module: 'full', errno: 24 },
        { call: 'seekEnd', errno: 9 },
      ],
    });
    const xfs = native.memfdCreate('xfs');
    if ('errno' in xfs) throw new Error(`errno ${xfs.errno}`);
    const { fd } = xfs;
    expect([
      await native.finitModule(fd, '', 0),
      await native.finitModule(fd, '', 0),
      await native.finitModule(fd, 'bad=1', 0),
      native.deleteModule('xfs', 0),
      native.deleteModule('ext4', 0),
      native.memfdCreate('full'),
      native.seekEnd(fd),
    ]).toEqual([11, 0, 22, 11, 0, { errno: 24 }, 9]);
    closeSync(fd);
    expect(native.loads.length).toBe(1);
  });

  it('answers EBADF for a descriptor that is not open', async () => {
    const native = openFakeNative();
    const memfd = native.memfdCreate('xfs');
    if ('errno' in memfd) throw new Error(`errno ${memfd.errno}`);
    closeSync(memfd.fd);
    expect([await native.finitModule(memfd.fd, '', 0), native.finitModuleSync(-1, '', 0), native.loads]).toEqual([9, 9, []]);
  });

  it('holds a threaded call until its promise resolves', async () => {
    let release: () => void = () => undefined;
    const until = new Promise<void>((resolve) => (release = resolve));
    const native = openFakeNative({ answers: [{ call: 'initModule', errno: 5, until }] });
    const order: string[] = [];
    const load = native.initModule(new Uint8Array(), '').then((errno) => order.push(`errno ${errno}`));
    await new Promise(setImmediate);
    order.push('released');
    release();
    await load;
    expect(order).toEqual(['released', 'errno 5']);
  });

  it('delivers what a test injects into its sockets until they are closed', async () => {
    const native = openFakeNative({ answers: [{ call: 'openUeventSocket', errno: 1, syscall: 'socket', times: 1 }] });
    const seen: unknown[] = [];
    const kept: Uint8Array[] = [];
    const options = {
      onDatagram: ({ data, ...sender }: { data: Uint8Array; pid: number; groups: number; uid: number | undefined; truncated: boolean }) => {
        kept.push(data);
        seen.push({ text: Buffer.from(data).toString(), ...sender });
      },
      onLost: () => seen.push('lost'),
      onError: (errno: number) => seen.push(errno),
    };
    expect(native.openUeventSocket(options)).toEqual({ errno: 1, syscall: 'socket' });
    const opened = native.openUeventSocket({ ...options, receiveBuffer: 4096 });
    native.sockets[0]?.inject('add@/devices/a');
    native.sockets[0]?.inject(Buffer.from('spoof'), { pid: 42, uid: 1000 });
    native.sockets[0]?.lose();
    if ('socket' in opened) await opened.socket.close();
    native.sockets[0]?.inject('late');
    native.sockets[0]?.fail(9);
    native.openUeventSocket(options);
    native.sockets[1]?.fail(9);
    native.sockets[1]?.fail(9);

    expect(seen).toEqual([
      { text: 'add@/devices/a', pid: 0, groups: 1, uid: 0, truncated: false },
      { text: 'spoof', pid: 42, groups: 1, uid: 1000, truncated: false },
      'lost',
      9,
    ]);
    expect(kept.map((data) => Buffer.from(data).toString('hex'))).toEqual(['ff'.repeat(14), 'ff'.repeat(5)]);
    expect(native.sockets.map((socket) => socket.closed)).toEqual([true, true]);
    expect(native.calls.map(({ call }) => call)).toEqual(['openUeventSocket', 'openUeventSocket', 'closeUeventSocket', 'openUeventSocket']);
  });
});
