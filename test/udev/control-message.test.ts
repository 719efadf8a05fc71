import { describe, expect, it } from 'vitest';

import { FormatError } from '../../src/errors.ts';
import { CONTROL_MESSAGE_SIZE, formatControlMessage, parseControlMessage } from '../../src/udev/control-message.ts';
import type { ControlMessage } from '../../src/udev/control-message.ts';

const MESSAGES: readonly ControlMessage[] = [
  { type: 'end' }, { type: 'log-level', value: 7 }, { type: 'stop-queue' }, { type: 'start-queue' }, { type: 'reload' },
  { type: 'env', value: 'KEY=a b=c' }, { type: 'env', value: 'KEY=' }, { type: 'children-max', value: 12 }, { type: 'ping' }, { type: 'exit' },
];

describe('parseControlMessage', () => {
  it('reads back every message', () => {
    expect(MESSAGES.map((message) => parseControlMessage(formatControlMessage(message)))).toEqual(MESSAGES);
  });

  it('reads what udevadm control of 252 sends', () => {
    const ping = Buffer.alloc(CONTROL_MESSAGE_SIZE);
    ping.write('udev-252');
    ping.writeUInt32LE(0xdead1dea, 16);
    ping.writeUInt32LE(7, 20);
    expect(parseControlMessage(ping)).toEqual({ type: 'ping' });
  });

  it('refuses other lengths, other magic, unknown types and texts without end or key', () => {
    const good = Buffer.from(formatControlMessage({ type: 'env', value: 'A=b' }));
    const changed = (change: (bytes: Buffer) => void): Buffer => {
      const bytes = Buffer.from(good);
      change(bytes);
      return bytes;
    };
    const bad = [
      good.subarray(0, 279), Buffer.concat([good, Buffer.alloc(1)]), Buffer.alloc(0), changed((bytes) => bytes.writeUInt32LE(1, 16)),
      changed((bytes) => bytes.writeUInt32LE(9, 20)), changed((bytes) => bytes.fill(0x61, 24)), changed((bytes) => bytes.fill(0, 24)),
    ];
    for (const bytes of bad) expect(() => parseControlMessage(bytes)).toThrow(FormatError);
  });
});

describe('formatControlMessage', () => {
  it('refuses a text that does not fit', () => {
    expect(() => formatControlMessage({ type: 'env', value: `A=${'x'.repeat(254)}` })).toThrow(FormatError);
    expect(() => formatControlMessage({ type: 'env', value: 'A=\0' })).toThrow(FormatError);
  });
});
