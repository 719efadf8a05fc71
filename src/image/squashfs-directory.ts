// Directories of squashfs: their names, and where the inodes are.

import { LimitError } from '../errors.ts';
import { compareNames, decodeName } from './entry-name.ts';
import type { MetadataPlace, SquashfsVolume } from './squashfs-volume.ts';

/** References of inodes by name, in the order of the names' bytes. */
export type SquashfsDirectory = ReadonlyMap<string, number>;

/** Room for a million names, more than a directory of modules or firmware has by far. */
const MAX_LISTING_SIZE = 64 * 1024 * 1024;
const HEADER_SIZE = 12;
const ENTRY_SIZE = 8;
/** fs/squashfs/squashfs_fs.h: SQUASHFS_DIR_COUNT. */
const MAX_ENTRIES_OF_HEADER = 256;

/**
 * All names of a directory, from `size` bytes of its listing. The index of a large one is not used: whoever asks for one name of a
 * directory asks for more, and it is kept. Throws FormatError and LimitError.
 * ```
 * header  entries - 1, 4 | block of the inode table 4 | inode number 4
 * entry   offset in that block 2 | inode number, from the header's 2 | type 2 | name length - 1, 2 | name
 * ```
 */
export function readSquashfsDirectory(volume: SquashfsVolume, listing: MetadataPlace, size: number): SquashfsDirectory {
  const file = volume.source.name;
  if (size > MAX_LISTING_SIZE) throw new LimitError({ file, limit: 'MAX_LISTING_SIZE', maximum: MAX_LISTING_SIZE, actual: size });
  const references = new Map<string, number>();
  let place = listing;
  let left = size;
  const take = (length: number): Buffer => {
    if (length > left) throw volume.error(place.block, `${length} more bytes of a directory`, `${left}`);
    const { bytes, next } = volume.metadata(place, length);
    place = next;
    left -= length;
    return bytes;
  };
  while (left > 0) {
    const header = take(HEADER_SIZE);
    const count = header.readUInt32LE(0) + 1;
    if (count > MAX_ENTRIES_OF_HEADER) throw volume.error(place.block, `up to ${MAX_ENTRIES_OF_HEADER} entries`, `${count}`);
    const block = header.readUInt32LE(4);
    for (let index = 0; index < count; index += 1) {
      const entry = take(ENTRY_SIZE);
      const name = decodeName(take(entry.readUInt16LE(6) + 1), file, place.block);
      if (!references.has(name)) references.set(name, block * 0x1_0000 + entry.readUInt16LE(0));
    }
  }
  return new Map([...references].sort(([a], [b]) => compareNames(a, b)));
}
