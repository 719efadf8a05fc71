// The messages that udev sends after an event (group 2 of NETLINK_KOBJECT_UEVENT), which libudev's monitors read.

import { FormatError, LimitError } from '../errors.ts';
import { rememberedHash } from './murmur-hash.ts';

/** Beyond what any libudev reads; a device with all its properties has 2 to 8 KiB. */
export const BROADCAST_MAX = 1 << 16;
export const BROADCAST_PROPERTIES_MAX = 4096;

/*
 * The header (libudev's struct monitor_netlink_header):
 *   0 "libudev\0"   8 magic (4, big endian)   12 header size (4)   16 offset of the properties (4)   20 their length (4)
 *  24 hash of SUBSYSTEM (4, big endian)  28 hash of DEVTYPE or 0  32 bloom filter of the tags, upper half  36 lower half  40 end
 * Sizes are in the byte order of the machine, little endian on all that we know.
 */
const PREFIX = 'libudev\0';
const MAGIC = 0xfeedcafe;
const HEADER_SIZE = 40;

/** First of all properties: says that the message has CURRENT_TAGS beside TAGS. */
const VERSION_PROPERTY = 'UDEV_DATABASE_VERSION';
const VERSION = '1';


export type Broadcast = {
  readonly subsystem: string | undefined;
  readonly devtype: string | undefined;
  /** Each tag that the device ever had: monitors filter on these. */
  readonly tags: Iterable<string>;
  /** In their order, without the version. A value ends at a newline or NUL. */
  readonly properties: Iterable<readonly [string, string]>;
};

/** The message. Throws LimitError when it is longer than BROADCAST_MAX. */
export function formatBroadcast({ subsystem, devtype, tags, properties }: Broadcast): Uint8Array {
  let text = `${VERSION_PROPERTY}=${VERSION}\0`;
  let count = 1;
  for (const [key, value] of properties) {
    if (key === '' || key === VERSION_PROPERTY || key.includes('=')) continue;
    text += `${key}=${value}\0`;
    count++;
  }
  // Asked of all at once: it is never so but for a device that lies.
  if (text.includes('\n') || text.split('\0').length !== count + 1) text = safeText(properties);
  const bodyLength = Buffer.byteLength(text);
  const length = HEADER_SIZE + bodyLength;
  if (length > BROADCAST_MAX) throw new LimitError({ file: 'broadcast', limit: 'BROADCAST_MAX', maximum: BROADCAST_MAX, actual: length });
  const message = Buffer.alloc(length);
  message.write(PREFIX, 'latin1');
  message.write(text, HEADER_SIZE);
  const header = new DataView(message.buffer, message.byteOffset, HEADER_SIZE);
  header.setUint32(8, MAGIC);
  header.setUint32(12, HEADER_SIZE, true);
  header.setUint32(16, HEADER_SIZE, true);
  header.setUint32(20, bodyLength, true);
  header.setUint32(24, subsystem === undefined ? 0 : rememberedHash(subsystem));
  header.setUint32(28, devtype === undefined ? 0 : rememberedHash(devtype));
  header.setBigUint64(32, tagBloom(tags));
  return message;
}

/** Without properties whose key is none; a value ends before what would begin another property for a reader. */
function safeText(properties: Broadcast['properties']): string {
  let text = `${VERSION_PROPERTY}=${VERSION}\0`;
  for (const [key, value] of properties) {
    if (key !== '' && key !== VERSION_PROPERTY && !/[=\n\0]/.test(key)) text += `${key}=${value.split(/[\n\0]/, 1)[0]}\0`;
  }
  return text;
}

/** The 64 bits by which a monitor's kernel filter asks for a tag: four bits each, with false hits and no misses. */
export function tagBloom(tags: Iterable<string>): bigint {
  let upper = 0;
  let lower = 0;
  for (const tag of tags) {
    const hash = rememberedHash(tag);
    for (let shift = 0; shift <= 18; shift += 6) {
      const bit = (hash >>> shift) & 63;
      if (bit < 32) lower |= 1 << bit;
      else upper |= 1 << (bit - 32);
    }
  }
  return (BigInt(upper >>> 0) << 32n) | BigInt(lower >>> 0);
}

/**
 * The properties of a message, without the version, in its order. Throws FormatError when it is none of udev's, LimitError when it is
 * too large.
 */
export function parseBroadcast(bytes: Uint8Array, file = 'udev message'): ReadonlyMap<string, string> {
  if (bytes.length > BROADCAST_MAX) throw new LimitError({ file, limit: 'BROADCAST_MAX', maximum: BROADCAST_MAX, actual: bytes.length });
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const malformed = (offset: number, expected: string, actual: string) => new FormatError({ file, offset, expected, actual });
  if (buffer.length < HEADER_SIZE) throw malformed(buffer.length, `a header of ${HEADER_SIZE} bytes`, 'end of message');
  if (buffer.toString('latin1', 0, PREFIX.length) !== PREFIX) throw malformed(0, 'libudev and a NUL', 'something else');
  const magic = buffer.readUInt32BE(8);
  if (magic !== MAGIC) throw malformed(8, MAGIC.toString(16), magic.toString(16));
  const start = buffer.readUInt32LE(16);
  const end = start + buffer.readUInt32LE(20);
  if (start < HEADER_SIZE || end > buffer.length || start >= end) throw malformed(16, 'properties within the message', `${start} to ${end} of ${buffer.length}`);
  if (buffer[end - 1] !== 0) throw malformed(end - 1, 'NUL after the last property', 'something else');

  const properties = new Map<string, string>();
  for (let offset = start; offset < end;) {
    const stop = buffer.indexOf(0, offset);
    const text = buffer.toString('utf8', offset, stop);
    const equals = text.indexOf('=');
    if (equals <= 0) throw malformed(offset, 'KEY=VALUE', JSON.stringify(text.slice(0, 200)));
    // As with the kernel's: what follows a newline could pose as a line of its own.
    properties.set(text.slice(0, equals), text.slice(equals + 1).split('\n', 1)[0] ?? '');
    if (properties.size > BROADCAST_PROPERTIES_MAX) {
      throw new LimitError({ file, limit: 'BROADCAST_PROPERTIES_MAX', maximum: BROADCAST_PROPERTIES_MAX });
    }
    offset = stop + 1;
  }
  properties.delete(VERSION_PROPERTY);
  return properties;
}
