// Files and directories of ext4 that are so small that they lie in their inode: in i_block, and on in an extended attribute.

import type { Ext4Inode, Ext4Volume } from './ext4-volume.ts';
import type { FileRange } from './file-range.ts';

const EXT4_XATTR_MAGIC = 0xea020000;
const EXT4_XATTR_INDEX_SYSTEM = 7;
const ATTRIBUTE_HEADER_SIZE = 4;
const ENTRY_SIZE = 16;

/** The two pieces of inline data; the second is empty where the first is enough. Throws FormatError. */
export function inlineParts(volume: Ext4Volume, inode: Ext4Inode): readonly [Buffer, Buffer] {
  return [inode.block, dataAttribute(volume, inode)];
}

/** Bytes of an inline file. What a larger file has beyond the two pieces reads as zeros, as it does in the kernel. Throws FormatError. */
export function inlineContents(volume: Ext4Volume, inode: Ext4Inode, { offset, length }: FileRange): Uint8Array {
  const contents = new Uint8Array(length);
  contents.set(Buffer.concat(inlineParts(volume, inode)).subarray(offset, offset + length));
  return contents;
}

/**
 * The value of the attribute system.data.
 * ```
 * header  magic 4
 * entry   name length 1 | name index 1 | offset of the value, from the first entry 2 | inode of the value 4 | its size 4 | hash 4 | name | pad to 4
 * ```
 * Four zeros end the entries. Layout: Documentation/filesystems/ext4/attributes.rst.
 */
function dataAttribute(volume: Ext4Volume, inode: Ext4Inode): Buffer {
  const { attributes } = inode;
  const none = attributes.subarray(0, 0);
  if (attributes.length < ATTRIBUTE_HEADER_SIZE || attributes.readUInt32LE(0) !== EXT4_XATTR_MAGIC) return none;
  const entries = attributes.subarray(ATTRIBUTE_HEADER_SIZE);
  let at = 0;
  while (at + ENTRY_SIZE <= entries.length && entries.readUInt32LE(at) !== 0) {
    const nameLength = entries.readUInt8(at);
    const name = entries.toString('latin1', at + ENTRY_SIZE, at + ENTRY_SIZE + nameLength);
    if (entries[at + 1] === EXT4_XATTR_INDEX_SYSTEM && name === 'data') {
      const start = entries.readUInt16LE(at + 2);
      const size = entries.readUInt32LE(at + 8);
      if (start + size > entries.length) throw volume.error(inode.offset, 'inline data inside the inode', `${size} bytes at ${start}`);
      return entries.subarray(start, start + size);
    }
    at += (ENTRY_SIZE + nameLength + 3) & ~3;
  }
  return none;
}
