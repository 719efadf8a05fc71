// Reads whole module files, decompressed, several at a time: in memory that is used again, on threads where liblzma or libzstd are there.

import { availableParallelism } from 'node:os';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { LimitError } from '../errors.ts';
import type { System } from '../system.ts';
import { type Compression, compressionOf, decompress, MAX_MODULE_SIZE } from './compression.ts';
import type { ModuleSource } from './module-source.ts';
import { nativeCodecs, type NativeCodecs } from './native-codecs.ts';
import { keepsXzClaim, readXzClaim, type XzClaim } from './xz.ts';
import { readZstdFrames } from './zstd-frame.ts';

/** Above this, memory is taken for the one file and given back after it. Few modules are larger. */
const REUSED_BUFFER_MAX = 32 * 1024 * 1024;
const REUSED_BUFFER_MIN = 1024 * 1024;

/** Memory for one file at a time. */
type Slot = { input: Buffer; output: Buffer };

export type ImageReaderOptions = {
  /** Files that are read at a time. */
  readonly jobs?: number;
  /** Where the paths lead, when it is not a directory of this machine. */
  readonly source?: ModuleSource | undefined;
};

/** One for a run: as many files are in the works as the machine has cores, and some more, so that no thread waits for the main one to read. */
export class ImageReader {
  readonly #system: System;
  readonly #source: ModuleSource | undefined;
  readonly #free: Slot[];
  readonly #waiting: ((slot: Slot) => void)[] = [];
  #codecs: Promise<NativeCodecs> | undefined;

  constructor(system: System, { jobs = availableParallelism() + 3, source }: ImageReaderOptions = {}) {
    this.#system = system;
    this.#source = source?.kind === 'tree' ? undefined : source;
    this.#free = Array.from({ length: jobs }, () => ({ input: Buffer.alloc(0), output: Buffer.alloc(0) }));
  }

  /**
   * What `take` makes of the image of the module file at `path`. The image is valid during `take` only. Rejects with Node's error
   * for a file that cannot be read, and with FormatError, LimitError or UnsupportedError for one that cannot be decompressed.
   */
  async use<Result>(path: string, take: (image: Uint8Array) => Result): Promise<Result> {
    const slot = this.#free.pop() ?? await new Promise<Slot>((resolve) => this.#waiting.push(resolve));
    try {
      const data = this.#source ? readFrom(this.#source, path) : readInto(slot, path);
      const compression = compressionOf(data);
      return take(compression === undefined ? data : await this.#decompress(data, compression, slot, path));
    } finally {
      const next = this.#waiting.shift();
      if (next) next(slot);
      else this.#free.push(slot);
    }
  }

  async #decompress(data: Uint8Array, compression: Compression, slot: Slot, file: string): Promise<Uint8Array> {
    if (compression === 'gzip') return decompress(data, compression, { file });
    const codecs = await (this.#codecs ??= nativeCodecs(this.#system, this.#system.log));
    const into = codecs[compression]?.decompressInto;
    const claim = into && (compression === 'xz' ? readXzClaim(data, { file, limit: MAX_MODULE_SIZE }) : readZstdClaim(data, file));
    if (into && claim && claim.size <= REUSED_BUFFER_MAX) {
      const { size, crc32s } = claim;
      slot.output = atLeast(slot.output, size);
      const output = slot.output.subarray(0, size);
      if (await into(data, output, crc32s !== undefined) === size && keepsXzClaim(output, claim)) return output;
    }
    // The slow way takes every file, and says what is wrong with one that is damaged.
    return decompress(data, compression, { file, codecs });
  }
}

function readFrom(source: ModuleSource, path: string): Uint8Array {
  const file = source.open(path);
  try {
    checkSize(file.size, path);
    return file.read(0, file.size);
  } finally {
    file.close();
  }
}

function checkSize(size: number, path: string): void {
  if (size > MAX_MODULE_SIZE) throw new LimitError({ file: path, limit: 'size of a module file', maximum: MAX_MODULE_SIZE, actual: size });
}

function readInto(slot: Slot, path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    checkSize(size, path);
    const buffer = size > REUSED_BUFFER_MAX ? Buffer.allocUnsafeSlow(size) : (slot.input = atLeast(slot.input, size));
    let length = 0;
    while (length < size) {
      const count = readSync(fd, buffer, length, size - length, length);
      if (count === 0) break;
      length += count;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** undefined where a frame does not tell. */
function readZstdClaim(data: Uint8Array, file: string): XzClaim | undefined {
  let size = 0;
  for (const { skippable, contentSize } of readZstdFrames(data, file)) {
    if (skippable) continue;
    if (contentSize === undefined) return undefined;
    size += contentSize;
  }
  return { size, crc32s: undefined };
}

function atLeast(buffer: Buffer, size: number): Buffer {
  if (buffer.length >= size) return buffer;
  return Buffer.allocUnsafeSlow(Math.min(REUSED_BUFFER_MAX, Math.max(REUSED_BUFFER_MIN, 2 * size)));
}
