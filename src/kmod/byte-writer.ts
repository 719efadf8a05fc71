// Bytes that are put together piece by piece.

/** Grows as it is written to. Text is latin1. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(1 << 16);
  length = 0;

  /** What has been written so far, in place. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  byte(offset: number): number {
    return this.#buffer[offset] ?? 0;
  }

  setByte(offset: number, value: number): void {
    this.#buffer[offset] = value;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.length++] = value;
  }

  /** Big-endian. */
  u32(value: number): void {
    this.#reserve(4);
    this.patch(this.length, value);
    this.length += 4;
  }

  text(value: string): void {
    const { length } = value;
    this.#reserve(length);
    const buffer = this.#buffer;
    let at = this.length;
    for (let i = 0; i < length; i++) buffer[at++] = value.charCodeAt(i);
    this.length = at;
  }

  /** For names and lines a loop is quicker than making a view of the source. */
  copy(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    const buffer = this.#buffer;
    let at = this.length;
    for (let i = start; i < end; i++) buffer[at++] = bytes[i] ?? 0;
    this.length = at;
  }

  /** Overwrites four bytes, big-endian. */
  patch(offset: number, value: number): void {
    const buffer = this.#buffer;
    buffer[offset] = value >>> 24;
    buffer[offset + 1] = value >>> 16;
    buffer[offset + 2] = value >>> 8;
    buffer[offset + 3] = value;
  }

  #reserve(bytes: number): void {
    if (this.length + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * (this.length + bytes));
    this.#buffer.copy(grown, 0, 0, this.length);
    this.#buffer = grown;
  }
}
