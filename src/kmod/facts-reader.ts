// Reads module files, plain or compressed, into their records, with buffers that serve one file after the other.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError } from '../errors.ts';
import { errnoByName, errnoText, type System } from '../system.ts';
import { type Compression, compressionOf, decompress, MAX_MODULE_SIZE } from './compression.ts';
import { ElfFile } from './elf.ts';
import { FactsEncoder } from './module-facts.ts';
import type { ModuleFile } from './module-source.ts';
import { nativeCodecs, type NativeCodecs } from './native-codecs.ts';
import { keepsXzClaim, readXzClaim } from './xz.ts';

/** The record of a module, or why there is none: a text of strerror(3), and what we know beyond it. */
export type ReadOutcome = { readonly record: Uint8Array } | { readonly failure: string; readonly detail: string };

/** Files up to this size are read in one go. */
const SMALL_FILE = 64 * 1024;
/** Section headers and the names of sections stand at the end, with a signature behind them at most. */
const TAIL = 32 * 1024;
/** kmod takes nothing shorter for a module. */
const SHORTEST = 6;
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const SHORTEST_ELF = 17;
const ELF_HEAD = 64;

/** Above this, memory is taken for the one image and given back after it. */
const REUSED_OUTPUT_MAX = 32 * 1024 * 1024;

export class FactsReader {
  readonly #system: Pick<System, 'native'>;
  readonly #encoder = new FactsEncoder();
  #codecs: NativeCodecs | undefined;
  #buffer = Buffer.allocUnsafeSlow(1 << 20);
  #output = Buffer.alloc(0);

  constructor(system: Pick<System, 'native'>) {
    this.#system = system;
  }

  /** Gives back memory that the codecs keep. */
  close(): void {
    this.#codecs?.xz?.release?.();
  }

  /** Never throws for what is wrong with the file. */
  async read(path: string): Promise<ReadOutcome> {
    try {
      const fd = openSync(path, 'r');
      try {
        return await this.#readOpen(fstatSync(fd).size, (bytes, start, end) => readExactly(fd, bytes, start, end, path), path);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      return failureOf(error);
    }
  }

  /** The same of a file that a source opens. */
  async readFile(open: () => ModuleFile, path: string): Promise<ReadOutcome> {
    try {
      const file = open();
      try {
        return await this.#readOpen(file.size, (bytes, start, end) => readPart(file, bytes, start, end), path);
      } finally {
        file.close();
      }
    } catch (error) {
      return failureOf(error);
    }
  }

  async #readOpen(size: number, read: (bytes: Uint8Array, start: number, end: number) => void, path: string): Promise<ReadOutcome> {
    if (size < SHORTEST) return { failure: 'Invalid argument', detail: `${path}: ${size} bytes are no module` };
    if (size > MAX_MODULE_SIZE) throw new LimitError({ file: path, limit: 'limit of bytes of a module', maximum: MAX_MODULE_SIZE, actual: size });
    const bytes = this.#reserve(size);
    let tail = size;
    /** The end of what has been read, by where it starts: the section of the versions is looked at once for each of them. */
    const filled = new Map<number, number>();
    const fill = (start: number, end: number) => {
      if (start >= tail || (filled.get(start) ?? 0) >= end) return;
      read(bytes, start, Math.min(end, tail));
      filled.set(start, end);
    };
    const head = Math.min(size, size <= SMALL_FILE ? size : ELF_HEAD);
    fill(0, head);
    const compression = compressionOf(bytes);
    if (compression !== undefined) {
      fill(head, size);
      return this.#recordOf(this.#decompress(bytes, compression, path, await this.#loadCodecs()), path);
    }
    if (head < size) fill(size - TAIL, size);
    tail = head < size ? size - TAIL : 0;
    return this.#recordOf(bytes, path, tail === 0 ? undefined : fill);
  }

  #recordOf(image: Uint8Array, path: string, fill?: (start: number, end: number) => void): ReadOutcome {
    if (image.length < SHORTEST_ELF || ELF_MAGIC.some((byte, index) => image[index] !== byte)) {
      return { failure: 'Exec format error', detail: `${path}: not an ELF file` };
    }
    return { record: this.#encoder.encode(new ElfFile(image, path, fill)) };
  }

  /** Into memory that is used again, where the library can do that; nothing of an image outlives its record. */
  #decompress(data: Uint8Array, compression: Compression, file: string, codecs: NativeCodecs): Uint8Array {
    const into = compression === 'xz' ? codecs.xz?.decompressIntoSync : undefined;
    const claim = into && readXzClaim(data, { file, limit: MAX_MODULE_SIZE });
    if (into && claim && claim.size <= REUSED_OUTPUT_MAX) {
      const { size, crc32s } = claim;
      if (size > this.#output.length) this.#output = Buffer.allocUnsafeSlow(Math.min(REUSED_OUTPUT_MAX, size * 2));
      const output = this.#output.subarray(0, size);
      if (into(data, output, crc32s !== undefined) === size && keepsXzClaim(output, claim)) return output;
    }
    // The slow way takes every file, and says what is wrong with one that is damaged.
    return decompress(data, compression, { file, codecs });
  }

  #reserve(size: number): Buffer {
    if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(size * 2);
    return this.#buffer.subarray(0, size);
  }

  async #loadCodecs(): Promise<NativeCodecs> {
    return (this.#codecs ??= await nativeCodecs(this.#system));
  }
}

function readExactly(fd: number, bytes: Uint8Array, start: number, end: number, path: string): void {
  for (let at = start; at < end;) {
    const got = readSync(fd, bytes, at, end - at, at);
    if (got === 0) throw new FormatError({ file: path, offset: at, expected: 'more of the file', actual: 'its end' });
    at += got;
  }
}

function readPart(file: ModuleFile, bytes: Uint8Array, start: number, end: number): void {
  const part = file.read(start, end - start);
  if (part.length < end - start) throw new FormatError({ file: file.path, offset: start + part.length, expected: 'more of the file', actual: 'its end' });
  bytes.set(part, start);
}

function failureOf(error: unknown): ReadOutcome {
  const detail = messageOf(error);
  if (error instanceof FormatError || error instanceof LimitError) return { failure: 'Invalid argument', detail };
  if (error instanceof UnsupportedError) return { failure: 'Operation not supported', detail };
  const errno = errnoByName(codeOf(error) ?? '');
  if (errno === undefined) throw error;
  return { failure: errnoText(errno), detail };
}
