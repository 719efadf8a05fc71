// A file of this machine as a source of bytes.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

import { FormatError, UnsupportedError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';

/** An open file. Nothing of it is kept in memory. */
export interface FileSource extends ByteSource {
  close(): void;
}

/** Opens a file for reading. Throws UnsupportedError for what is no file, and Node's error, which has the shape of SystemError. */
export function openFileSource(path: string): FileSource {
  // Of a fifo nobody may ever be at the other end.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new UnsupportedError(`${path}: it is ${stat.isDirectory() ? 'a directory' : 'a device, a fifo or a socket'}, and not a file`);
  }
  const { size } = stat;
  return {
    name: path,
    size,
    read(offset, length) {
      checkRange(path, size, offset, length);
      const buffer = Buffer.allocUnsafe(length);
      for (let done = 0; done < length; ) {
        const got = readSync(fd, buffer, done, length - done, offset + done);
        if (got === 0) throw new FormatError({ file: path, offset: offset + done, expected: `${length - done} bytes`, actual: 'the end of a file that was cut short' });
        done += got;
      }
      return buffer;
    },
    close: () => closeSync(fd),
  };
}
