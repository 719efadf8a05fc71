// The x86 filter of xz: turns the absolute targets of CALL and JMP back into the relative ones of the machine code.

const OPCODE_SIZE = 5;

/**
 * Undoes the filter in place on the bytes of one block, which the compressor took as starting at address 0.
 *
 * The compressor converted E8 and E9 operands whose top byte is 00 or FF, but not where an earlier opcode that it left
 * alone makes the operand doubtful; `skipped` repeats its bookkeeping: bit n is an opcode left alone n + 1 bytes before.
 */
export function unfilterX86(data: Uint8Array): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let skipped = 0;
  for (let position = 0; position + OPCODE_SIZE <= data.length; position += 1) {
    if ((view.getUint8(position) & 0xfe) !== 0xe8) {
      skipped = (skipped << 1) & 7;
      continue;
    }
    const operand = position + 1;
    // How far back the one opcode that was left alone is; 0 for none.
    const back = skipped === 4 ? 3 : skipped;
    const doubtful = back > 0 && (skipped > 4 || skipped === 3 || isSignByte(view.getUint8(operand + 3 - back)));
    if (doubtful || !isSignByte(view.getUint8(operand + 3))) {
      skipped = ((skipped << 1) | 1) & 7;
      continue;
    }
    const source = view.getUint32(operand, true);
    const next = operand + 4;
    let target = (source - next) | 0;
    if (back > 0) {
      // The compressor went round once more when the byte that decides became 00 or FF; then the low bits are inverted.
      const low = 2 ** (32 - 8 * back) - 1;
      if (isSignByte((target >>> (24 - 8 * back)) & 0xff)) target = ((target ^ low) - next) | 0;
    }
    // 25 bits count: the top byte repeats the sign.
    view.setInt32(operand, (target << 7) >> 7, true);
    position += OPCODE_SIZE - 1;
    skipped = 0;
  }
}

function isSignByte(byte: number): boolean {
  return byte === 0x00 || byte === 0xff;
}
