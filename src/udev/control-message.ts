// The messages of /run/udev/control: 280 bytes, from `udevadm control` to the daemon.

import { FormatError } from '../errors.ts';

/*
 *   0 version of the sender, text (16)  16 magic (4)  20 type (4)  24 value: an int, or text with its NUL (256)  280 end
 */
export const CONTROL_MESSAGE_SIZE = 280;
const MAGIC = 0xdead1dea;
const VALUE_SIZE = 256;

export type ControlMessage =
  /** No more messages follow: the daemon closes when all of before is done. */
  | { readonly type: 'end' }
  /** A priority of syslog(3): 0 (emerg) to 7 (debug). */
  | { readonly type: 'log-level'; readonly value: number }
  | { readonly type: 'stop-queue' | 'start-queue' | 'reload' | 'ping' | 'exit' }
  /** `KEY=VALUE` for all events from now on; `KEY=` takes it away again. */
  | { readonly type: 'env'; readonly value: string }
  | { readonly type: 'children-max'; readonly value: number };

/** In the order of their numbers. */
const TYPES: readonly ControlMessage['type'][] = [
  'end', 'log-level', 'stop-queue', 'start-queue', 'reload', 'env', 'children-max', 'ping', 'exit',
];

/** Throws FormatError for an `env` of more than 255 bytes, or with a NUL. */
export function formatControlMessage(message: ControlMessage, version = 'tsmodprobe'): Uint8Array {
  const bytes = Buffer.alloc(CONTROL_MESSAGE_SIZE);
  bytes.write(version, 0, 15, 'latin1');
  bytes.writeUInt32LE(MAGIC, 16);
  bytes.writeUInt32LE(TYPES.indexOf(message.type), 20);
  if (message.type === 'log-level' || message.type === 'children-max') bytes.writeInt32LE(message.value, 24);
  if (message.type === 'env') {
    const value = Buffer.from(message.value);
    if (value.length >= VALUE_SIZE || value.includes(0)) {
      throw new FormatError({ file: 'control message', offset: 24, expected: `at most ${VALUE_SIZE - 1} bytes without NUL`, actual: `${value.length} bytes` });
    }
    value.copy(bytes, 24);
  }
  return bytes;
}

/** Throws FormatError for what is no message, or of a type that nobody knows. The sender's version does not matter. */
export function parseControlMessage(data: Uint8Array, file = 'control message'): ControlMessage {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length !== CONTROL_MESSAGE_SIZE) {
    throw new FormatError({ file, offset: 0, expected: `${CONTROL_MESSAGE_SIZE} bytes`, actual: String(bytes.length) });
  }
  const magic = bytes.readUInt32LE(16);
  if (magic !== MAGIC) throw new FormatError({ file, offset: 16, expected: MAGIC.toString(16), actual: magic.toString(16) });
  const number = bytes.readUInt32LE(20);
  const type = TYPES[number];
  switch (type) {
    case undefined:
      throw new FormatError({ file, offset: 20, expected: `a type from 0 to ${TYPES.length - 1}`, actual: String(number) });
    case 'log-level':
    case 'children-max':
      return { type, value: bytes.readInt32LE(24) };
    case 'env': {
      const end = bytes.indexOf(0, 24);
      if (end < 0) throw new FormatError({ file, offset: CONTROL_MESSAGE_SIZE, expected: 'NUL after the text', actual: 'end of message' });
      const value = bytes.toString('utf8', 24, end);
      if (!/^[^=]+=/.test(value)) throw new FormatError({ file, offset: 24, expected: 'KEY=VALUE', actual: JSON.stringify(value) });
      return { type, value };
    }
    default:
      return { type };
  }
}
