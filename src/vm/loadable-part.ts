// What an ELF program needs to run: its segments, without the symbols, debugging data and section headers that lie behind them.

/*
 * ELF64, little-endian (elf(5)): 32 e_phoff: 64 | 40 e_shoff: 64 | 54 e_phentsize: 16 | 56 e_phnum: 16 | 58 e_shentsize: 16 | 60 e_shnum: 16 | 62 e_shstrndx: 16
 * A program header: 8 p_offset: 64 | 32 p_filesz: 64
 */
const MAGIC = '\x7fELF\x02\x01';
const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;

/**
 * The bytes up to the end of the last segment. Kernel and dynamic loader read no others: of Debian's and nodejs.org's Node an eighth is behind
 * them. What is no such file, or is cut short, is given back as it is.
 */
export function loadablePart(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_SIZE || Buffer.from(bytes.subarray(0, MAGIC.length)).toString('latin1') !== MAGIC) return bytes;
  const [first, size, count] = [Number(view.getBigUint64(32, true)), view.getUint16(54, true), view.getUint16(56, true)];
  let end = first + count * PROGRAM_HEADER_SIZE;
  if (size !== PROGRAM_HEADER_SIZE || count === 0 || end > bytes.length) return bytes;
  for (let at = first; at < first + count * size; at += size) end = Math.max(end, Number(view.getBigUint64(at + 8, true)) + Number(view.getBigUint64(at + 32, true)));
  if (end >= bytes.length) return bytes;
  const part = Uint8Array.from(bytes.subarray(0, end));
  // No section headers: where they were is gone.
  const header = new DataView(part.buffer);
  header.setBigUint64(40, 0n, true);
  for (const at of [58, 60, 62]) header.setUint16(at, 0, true);
  return part;
}
