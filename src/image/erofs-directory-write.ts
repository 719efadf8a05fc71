// Writes the directories of erofs: blocks of entries, each block with its names behind them.

export type ErofsDirent = { readonly name: Buffer; readonly nid: number; /** As FT_* of linux/fs_types.h. */ readonly type: number };

const DIRENT_SIZE = 12;

/** The data of a directory with these entries, which are sorted by their bytes. The last block is as long as it needs to be. The layout is at parseErofsDirectory. */
export function formatErofsDirectory(entries: readonly ErofsDirent[], blockSize: number): Buffer {
  const blocks: Buffer[] = [];
  for (let start = 0; start < entries.length; ) {
    const { end, size } = blockFrom(entries, start, blockSize);
    blocks.push(formatBlock(entries.slice(start, end), end === entries.length ? size : blockSize));
    start = end;
  }
  return blocks.length === 1 && blocks[0] ? blocks[0] : Buffer.concat(blocks);
}

/** Bytes of what formatErofsDirectory gives. */
export function erofsDirectorySize(entries: readonly Pick<ErofsDirent, 'name'>[], blockSize: number): number {
  let bytes = 0;
  for (let start = 0; start < entries.length; ) {
    const { end, size } = blockFrom(entries, start, blockSize);
    bytes += end === entries.length ? size : blockSize;
    start = end;
  }
  return bytes;
}

/** Which entries are in one block, and their bytes. */
function blockFrom(entries: readonly Pick<ErofsDirent, 'name'>[], start: number, blockSize: number): { readonly end: number; readonly size: number } {
  let size = 0;
  let end = start;
  for (; end < entries.length; end++) {
    const length = DIRENT_SIZE + (entries[end]?.name.length ?? 0);
    if (size + length > blockSize) break;
    size += length;
  }
  return { end, size };
}

function formatBlock(entries: readonly ErofsDirent[], size: number): Buffer {
  const block = Buffer.alloc(size);
  const view = new DataView(block.buffer, block.byteOffset, size);
  let nameAt = entries.length * DIRENT_SIZE;
  let at = 0;
  for (const { name, nid, type } of entries) {
    view.setUint32(at, nid, true);
    view.setUint16(at + 8, nameAt, true);
    view.setUint8(at + 10, type);
    block.set(name, nameAt);
    nameAt += name.length;
    at += DIRENT_SIZE;
  }
  return block;
}
