// Bytes of a file or of memory, read in place: what the readers of images take.

import { FormatError } from '../errors.ts';

/** Bytes of a file or memory, read in place. */
export interface ByteSource {
  /** What messages call it. */
  readonly name: string;
  readonly size: number;
  /** Exactly `length` bytes from `offset`, or FormatError past the end, SystemError where the file cannot be read. Never reads more. */
  read(offset: number, length: number): Uint8Array;
}

/** A source that knows how much was asked of it. */
export interface CountingSource extends ByteSource {
  readonly bytesRead: number;
  readonly reads: number;
}

/** Bytes that are in memory. What it gives are views, not copies. */
export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** The same source, counting. */
export function countingSource(source: ByteSource): CountingSource {
  let bytesRead = 0;
  let reads = 0;
  return {
    name: source.name,
    size: source.size,
    get bytesRead() { return bytesRead; },
    get reads() { return reads; },
    read(offset, length) {
      bytesRead += length;
      reads++;
      return source.read(offset, length);
    },
  };
}

/** Throws FormatError where the bytes are not all inside a source of `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new FormatError({ file: name, offset, expected: `${length} bytes`, actual: `the end of the data at ${size}` });
}
