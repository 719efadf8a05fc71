// The decompressors of the machine, where it has them.

import { UnsupportedError } from '../errors.ts';
import type { Log, System } from '../system.ts';
import type { DecompressOptions } from './compression.ts';

export type NativeCodecs = NonNullable<DecompressOptions['codecs']>;

/** None where nothing native can be loaded: then what is read is decoded by us, or by node:zlib. */
export async function nativeCodecs(system: Pick<System, 'native'>, log?: Log): Promise<NativeCodecs> {
  try {
    const { xz, zstd } = await system.native();
    return { xz, zstd };
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    log?.debug({ code: 'no-native-codecs', message: error.message });
    return {};
  }
}
