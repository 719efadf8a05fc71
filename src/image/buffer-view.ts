// Bytes as a Buffer, for its numbers and texts.

/** The same memory, not a copy. */
export function bufferView(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
