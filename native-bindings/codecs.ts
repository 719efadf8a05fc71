// Decompression by the C libraries liblzma and libzstd, where they are installed.

import { LimitError, messageOf } from '../src/errors.ts';
import type { CFunction, Koffi } from './koffi.ts';
import type { NativeCodec } from './native.ts';

const LIBLZMA = 'liblzma.so.5';
const LIBZSTD = 'libzstd.so.1';

/** Bytes that liblzma may allocate: `xz -9` needs 65 MiB for its dictionary, kernels are built with less. */
const LZMA_MEMORY_LIMIT = 128 * 1024 * 1024;

/** A decoder with more memory than this is not kept for the next file. Kernels' modules need 2 MiB at most. */
const KEPT_MEMORY = 8 * 1024 * 1024;

/** lzma/base.h and lzma/container.h. */
const LZMA_OK = 0;
const LZMA_STREAM_END = 1;
const LZMA_FINISH = 3;
const LZMA_TELL_UNSUPPORTED_CHECK = 0x02;
const LZMA_CONCATENATED = 0x08;
const LZMA_IGNORE_CHECK = 0x10;
const LZMA_FLAGS = LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK;
const LZMA_ERRORS: Readonly<Record<number, string>> = {
  3: 'the check of the data is of an unsupported type',
  5: 'out of memory',
  6: `more than ${LZMA_MEMORY_LIMIT} bytes of memory are needed`,
  7: 'not an xz file',
  8: 'unsupported options',
  9: 'the data is corrupt',
  10: 'the data is cut short',
  11: 'programming error',
};

/*
 * struct lzma_stream on 64-bit (lzma/base.h):
 *   0 next_in *   8 avail_in (8)  16 total_in (8)  24 next_out *  32 avail_out (8)  40 total_out (8)
 *  48 allocator *  56 internal *  64 four reserved pointers  96 four reserved integers (8 each)  128 two enums  136 end
 */
const LZMA_STREAM_SIZE = 136;
/** next_out; avail_in and avail_out stand this far behind their pointers. */
const LZMA_NEXT_OUT = 24;
const LZMA_AVAILABLE = 8;

/** zstd_errors.h: ZSTD_getErrorName of ZSTD_error_dstSize_tooSmall. */
const ZSTD_TOO_SMALL = 'Destination buffer is too small';

/** The first guess at the output: modules shrink to a quarter. */
const EXPECTED_RATIO = 4;
const SMALLEST_OUTPUT = 64 * 1024;

/** The codecs of this machine; a library is looked for when its codec is first asked for. */
export function openCodecs(koffi: Koffi): { readonly xz: () => NativeCodec | undefined; readonly zstd: () => NativeCodec | undefined } {
  return { xz: once(() => openXz(koffi)), zstd: once(() => openZstd(koffi)) };
}

function once<Value>(open: () => Value): () => Value {
  let opened: { readonly value: Value } | undefined;
  return () => (opened ??= { value: open() }).value;
}

type Prototype = readonly [result: string, parameters: string[]];

/** undefined where the library is not installed or lacks a function; our own decoders take its place then. */
function bind<Name extends string>(
  koffi: Koffi,
  library: string,
  functions: Readonly<Record<Name, Prototype>>,
): Readonly<Record<Name, CFunction>> | undefined {
  try {
    const loaded = koffi.load(library);
    const bound: Partial<Record<Name, CFunction>> = {};
    for (const name of Object.keys(functions) as Name[]) {
      const [result, parameters]: Prototype = functions[name];
      bound[name] = loaded.func(name, result, parameters);
    }
    return bound as Record<Name, CFunction>;
  } catch (error) {
    if (/^(Failed to load shared library|Cannot find function)/.test(messageOf(error))) return undefined;
    throw error;
  }
}

/** What liblzma reads by an address alone: the collector must see it held until the call has ended. */
const held = new Set<object>();

function openXz(koffi: Koffi): NativeCodec | undefined {
  const lzma = bind(koffi, LIBLZMA, {
    lzma_stream_decoder: ['int', ['void *', 'uint64', 'uint32']],
    lzma_code: ['int', ['void *', 'int']],
    lzma_end: ['void', ['void *']],
    lzma_memusage: ['uint64', ['void *']],
  });
  if (!lzma) return undefined;

  const decompress = (data: Uint8Array, limit: number): Uint8Array => {
    // All zero is LZMA_STREAM_INIT.
    const stream = Buffer.from(new ArrayBuffer(LZMA_STREAM_SIZE));
    const begun: number = lzma.lzma_stream_decoder(stream, LZMA_MEMORY_LIMIT, LZMA_FLAGS);
    if (begun !== LZMA_OK) throw decoderError(LIBLZMA, LZMA_ERRORS[begun] ?? `error ${begun}`);
    held.add(data);
    try {
      if (data.length > 0) stream.writeBigUInt64LE(koffi.address(data), 0);
      stream.writeBigUInt64LE(BigInt(data.length), 8);
      // One byte beyond the limit shows that there is more.
      const expected = Math.max(data.length * EXPECTED_RATIO, SMALLEST_OUTPUT);
      let output: Buffer = Buffer.allocUnsafeSlow(Math.min(expected, limit + 1));
      let length = 0;
      for (;;) {
        stream.writeBigUInt64LE(koffi.address(output) + BigInt(length), 24);
        stream.writeBigUInt64LE(BigInt(output.length - length), 32);
        const code: number = lzma.lzma_code(stream, LZMA_FINISH);
        length = output.length - Number(stream.readBigUInt64LE(32));
        if (length > limit) throw limitError(LIBLZMA, limit);
        if (code === LZMA_STREAM_END) return trimmed(output, length);
        if (code !== LZMA_OK) throw decoderError(LIBLZMA, LZMA_ERRORS[code] ?? `error ${code}`);
        if (length === output.length) output = grown(output, limit + 1);
      }
    } finally {
      held.delete(data);
      lzma.lzma_end(stream);
    }
  };

  // liblzma starts over with what a decoder has allocated: for small files that is a good part of the work.
  const idle: Buffer[] = [];
  const begin = (data: Uint8Array, output: Uint8Array, unchecked = false): Buffer | undefined => {
    const stream = idle.pop() ?? Buffer.from(new ArrayBuffer(LZMA_STREAM_SIZE));
    const flags = unchecked ? LZMA_FLAGS | LZMA_IGNORE_CHECK : LZMA_FLAGS;
    if (lzma.lzma_stream_decoder(stream, LZMA_MEMORY_LIMIT, flags) !== LZMA_OK) {
      lzma.lzma_end(stream);
      return undefined;
    }
    [data, output].forEach((bytes, index) => {
      const at = index * LZMA_NEXT_OUT;
      stream.writeBigUInt64LE(bytes.length > 0 ? koffi.address(bytes) : 0n, at);
      stream.writeBigUInt64LE(BigInt(bytes.length), at + LZMA_AVAILABLE);
    });
    return stream;
  };
  const finish = (stream: Buffer, code: number | bigint, output: Uint8Array): number | undefined => {
    const left = Number(stream.readBigUInt64LE(LZMA_NEXT_OUT + LZMA_AVAILABLE));
    if (lzma.lzma_memusage(stream) > KEPT_MEMORY) lzma.lzma_end(stream);
    else idle.push(stream);
    return code === LZMA_STREAM_END ? output.length - left : undefined;
  };

  const decompressInto = async (data: Uint8Array, output: Uint8Array, unchecked?: boolean): Promise<number | undefined> => {
    const stream = begin(data, output, unchecked);
    if (!stream) return undefined;
    const arrays = [data, output];
    held.add(arrays);
    try {
      return finish(stream, await onThread(lzma.lzma_code, [stream, LZMA_FINISH]), output);
    } finally {
      held.delete(arrays);
    }
  };
  const decompressIntoSync = (data: Uint8Array, output: Uint8Array, unchecked?: boolean): number | undefined => {
    const stream = begin(data, output, unchecked);
    if (!stream) return undefined;
    const arrays = [data, output];
    held.add(arrays);
    try {
      return finish(stream, lzma.lzma_code(stream, LZMA_FINISH), output);
    } finally {
      held.delete(arrays);
    }
  };
  const release = (): void => {
    for (const stream of idle.splice(0)) lzma.lzma_end(stream);
  };
  return { library: LIBLZMA, decompress, decompressInto, decompressIntoSync, release };
}

function grown(output: Buffer, maximum: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.min(output.length * 2, maximum));
  output.copy(larger);
  return larger;
}

function openZstd(koffi: Koffi): NativeCodec | undefined {
  const zstd = bind(koffi, LIBZSTD, {
    ZSTD_decompress: ['size_t', ['void *', 'size_t', 'void *', 'size_t']],
    ZSTD_decompressBound: ['uint64', ['void *', 'size_t']],
    ZSTD_isError: ['uint', ['size_t']],
    ZSTD_getErrorName: ['str', ['size_t']],
  });
  if (!zstd) return undefined;

  const decompress = (data: Uint8Array, limit: number): Uint8Array => {
    // For ZSTD_decompress no frame at all is a success; for us it is a truncated file.
    if (data.length === 0) throw decoderError(LIBZSTD, 'the data is empty');
    // Over all frames. An upper bound where a frame does not tell its size, and only a claim where it does.
    const bound: number | bigint = zstd.ZSTD_decompressBound(data, data.length);
    if (zstd.ZSTD_isError(bound) !== 0) throw decoderError(LIBZSTD, 'not a zstd file, or cut short');
    const output = Buffer.allocUnsafeSlow(Math.min(Number(bound), limit));
    const result: number | bigint = zstd.ZSTD_decompress(output, output.length, data, data.length);
    if (zstd.ZSTD_isError(result) !== 0) {
      const text: string = zstd.ZSTD_getErrorName(result);
      throw text === ZSTD_TOO_SMALL && bound > limit ? limitError(LIBZSTD, limit) : decoderError(LIBZSTD, text);
    }
    return trimmed(output, Number(result));
  };

  const decompressInto = async (data: Uint8Array, output: Uint8Array): Promise<number | undefined> => {
    if (data.length === 0) return undefined;
    const result = await onThread(zstd.ZSTD_decompress, [output, output.length, data, data.length]);
    return zstd.ZSTD_isError(result) === 0 ? Number(result) : undefined;
  };
  return { library: LIBZSTD, decompress, decompressInto };
}

/** koffi runs the call on libuv's pool. The arguments, and with them the memory that C uses, stay referenced here until it ends. */
function onThread(fn: CFunction, values: readonly unknown[]): Promise<number | bigint> {
  return new Promise((resolve, reject) => {
    fn.async(...values, (error: unknown, result: number | bigint) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}

/** Guesses at the size may be far too large; what is returned should not hold on to that. */
function trimmed(output: Buffer, length: number): Uint8Array {
  return length * 2 < output.length ? Buffer.from(output.subarray(0, length)) : output.subarray(0, length);
}

function limitError(library: string, limit: number): LimitError {
  return new LimitError({ file: library, limit: 'decompressed size', maximum: limit });
}

function decoderError(library: string, text: string): Error {
  return new Error(`${library}: ${text}`);
}
