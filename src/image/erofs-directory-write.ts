// Writes the directories of erofs: blocks of entries, each block with its names behind them.

export type ErofsDirent = { readonly name: Buffer; readonly nid: number; /** As FT_* of linux/fs_types.h. */ readonly type: number };

const DIRENT_SIZE = 12;

/** The data of a directory with these entries, which are sorted by their bytes. The last block is as long as it needs to be. The layout is at parseErofsDirectory. */
export function formatErofsDirectory(entries: readonly ErofsDirent[], blockSize: number): Buffer {
  const blocks: Buffer[] = [];
  for (let start = 0; start < entries.length; ) {
    let size = 0;
    let end = start;
    for (; end < entries.length; end++) {
      const length = DIRENT_SIZE + (entries[end]?.name.length ?? 0);
      if (size + length > blockSize) break;
      size += length;
    }
    blocks.push(formatBlock(entries.slice(start, end), end === entries.length ? size : blockSize));
    start = end;
  }
  return Buffer.concat(blocks);
}

function formatBlock(entries: readonly ErofsDirent[], size: number): Buffer {
  const block = Buffer.alloc(size);
  let nameAt = entries.length * DIRENT_SIZE;
  entries.forEach(({ name, nid, type }, index) => {
    const at = index * DIRENT_SIZE;
    block.writeUInt32LE(nid, at);
    block.writeUInt16LE(nameAt, at + 8);
    block.writeUInt8(type, at + 10);
    nameAt += name.copy(block, nameAt);
  });
  return block;
}
