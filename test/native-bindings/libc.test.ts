import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { loadKoffi } from '../../native-bindings/koffi.ts';
import { bindLibc, openLibc } from '../../native-bindings/libc.ts';
import { O_NONBLOCK } from '../../native-bindings/native.ts';

const native = openLibc();
const libc = bindLibc(loadKoffi());

const EPERM = 1;
const ENOENT = 2;
const ESRCH = 3;
const ENOEXEC = 8;
const EBADF = 9;
const ENOTDIR = 20;
const EINVAL = 22;
const ENAMETOOLONG = 36;
const ENOSYS = 38;

/** What the module calls say without a privilege, or on a kernel without modules, before they look at anything. */
const REFUSED = [EPERM, ENOSYS];

describe('finitModule', () => {
  it('resolves with the errno of the kernel', async () => {
    expect([EBADF, ...REFUSED]).toContain(await native.finitModule(-1, '', 0));
    expect([EBADF, ...REFUSED]).toContain(native.finitModuleSync(-1, '', 0));
  });

  it('refuses parameters that C would read cut off', async () => {
    expect([await native.finitModule(-1, 'a=1\0b=2', 0), native.finitModuleSync(-1, '\0', 0)]).toEqual([EINVAL, EINVAL]);
  });

  it('runs thousands of calls at once', async () => {
    const results = await Promise.all(Array.from({ length: 3000 }, () => native.finitModule(-1, 'x'.repeat(5000), 0)));
    expect(new Set(results)).toEqual(new Set([native.finitModuleSync(-1, '', 0)]));
  });
});

describe('initModule', () => {
  it('resolves with the errno of the kernel, also for an empty image', async () => {
    expect([ENOEXEC, ...REFUSED]).toContain(await native.initModule(Buffer.from('bogus'), ''));
    expect([ENOEXEC, ...REFUSED]).toContain(await native.initModule(new Uint8Array(), ''));
  });

  it('takes an image of 80 MiB', async () => {
    expect([ENOEXEC, ...REFUSED]).toContain(await native.initModule(new Uint8Array(80 * 1024 * 1024), ''));
  });

  it('refuses parameters that C would read cut off', async () => {
    expect(await native.initModule(new Uint8Array(), 'a\0')).toBe(EINVAL);
  });
});

describe('deleteModule', () => {
  it('returns the errno of the kernel', () => {
    expect([ENOENT, ...REFUSED]).toContain(native.deleteModule('tsmodprobe_no_such', O_NONBLOCK));
    expect(native.deleteModule('a\0b', O_NONBLOCK)).toBe(EINVAL);
  });
});

describe('callOnThread', () => {
  const directory = mkdtempSync(join(os.tmpdir(), 'tsmodprobe-libc-'));
  const close = libc.function('close', 'int', ['int']);
  const rmdir = libc.function('rmdir', 'int', ['str']);
  const kill = libc.function('kill', 'int', ['int', 'int']);
  const lseek = libc.function('lseek', 'long', ['int', 'long', 'int']);
  const getpid = libc.function('getpid', 'int', []);
  const calls = [
    { fn: close, values: [-1], errno: EBADF },
    { fn: rmdir, values: [join(directory, 'none')], errno: ENOENT },
    { fn: rmdir, values: [join(import.meta.filename, 'none')], errno: ENOTDIR },
    { fn: rmdir, values: ['x'.repeat(5000)], errno: ENAMETOOLONG },
    { fn: kill, values: [0x3fffffff, 0], errno: ESRCH },
    { fn: kill, values: [process.pid, 1000], errno: EINVAL },
    { fn: lseek, values: [0x7fffffff, 0, 0], errno: EBADF },
    { fn: getpid, values: [], errno: 0 },
  ] as const;
  const at = (index: number): (typeof calls)[number] => calls[index % calls.length] ?? calls[0];

  it('gives each call its own errno, among thousands on threads and on the main thread', async () => {
    const garbage: unknown[] = [];
    const threaded = Array.from({ length: 8000 }, async (_, index) => {
      // Calls begin and end interleaved, with others on this thread and the collector between them.
      if (index % 3 === 0) await new Promise(setImmediate);
      const { fn, values, errno } = at(index);
      const sync = at(index + 3);
      garbage[index % 64] = Buffer.alloc(5000).toString();
      expect(libc.call(sync.fn, ...sync.values) < 0).toBe(sync.errno !== 0);
      const result = await libc.callOnThread(fn, ...values);
      const after = at(index + 5);
      const again = libc.call(after.fn, ...after.values);
      return result === errno && (after.errno === 0 ? again > 0 : again === -after.errno);
    });
    const right = await Promise.all(threaded);
    rmSync(directory, { recursive: true });
    expect(right.filter((each) => each).length).toBe(8000);
  });

  it('rejects when the arguments are not those of the function, and goes on', async () => {
    await expect(libc.callOnThread(close, 'one')).rejects.toThrow(TypeError);
    expect(await libc.callOnThread(close, -1)).toBe(EBADF);
  });
});

describe('memfdCreate', () => {
  it('opens a file in memory that can be written, read and closed', () => {
    const memfd = native.memfdCreate('xfs');
    if ('errno' in memfd) throw new Error(`errno ${memfd.errno}`);
    writeSync(memfd.fd, 'module');
    expect(readFileSync(`/proc/self/fd/${memfd.fd}`, 'utf8')).toBe('module');
    closeSync(memfd.fd);
    expect(() => fstatSync(memfd.fd)).toThrow('EBADF');
  });

  it('returns the errno for a name that is too long or holds a NUL', () => {
    expect([native.memfdCreate('x'.repeat(300)), native.memfdCreate('a\0')]).toEqual([{ errno: EINVAL }, { errno: EINVAL }]);
  });
});

describe('seekEnd', () => {
  it('moves to the end of a file', () => {
    const fd = openSync(import.meta.filename, 'r');
    const result = native.seekEnd(fd);
    const rest = Buffer.alloc(1);
    const read = libc.call(libc.function('read', 'long', ['int', 'void *', 'ulong']), fd, rest, 1);
    closeSync(fd);
    expect({ result, read }).toEqual({ result: 0, read: 0 });
  });

  it('returns the errno', () => {
    expect(native.seekEnd(-1)).toBe(EBADF);
  });
});

describe('uname', () => {
  it('says what Node says', () => {
    expect(native.uname()).toEqual({
      sysname: os.type(),
      nodename: os.hostname(),
      release: os.release(),
      version: os.version(),
      machine: os.machine(),
    });
  });
});
