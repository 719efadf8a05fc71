// Tests of the control line's language.

import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { ControlLineParser, formatAnswer, type GuestRequest } from '../../src/vm/control-line.ts';

describe('ControlLineParser', () => {
  it('reads every request, however the bytes are cut', () => {
    const bytes = Buffer.from(`@mark démo 1\n@hmp 12 info pci -v\n${put(13, 'a b.txt', 'hello\n'.repeat(100))}@exit 7\n`);
    const expected: GuestRequest[] = [
      { kind: 'mark', name: 'démo 1' },
      { kind: 'hmp', id: '12', command: 'info pci -v' },
      { kind: 'put', id: '13', name: 'a b.txt', data: Buffer.from('hello\n'.repeat(100)) },
      { kind: 'exit', status: 7 },
    ];
    expect(parse(bytes)).toEqual(expected);
    for (const size of [1, 2, 7]) expect(parse(bytes, size)).toEqual(expected);
  });

  it.each(['', '.', '..', 'a/b', '/etc/passwd', 'x'.repeat(256), 'nul\0'])('refuses a file of the name %j', (name) => {
    expect(parse(Buffer.from(put(1, name, 'x')))).toMatchObject([{ kind: 'refused', id: '1' }]);
  });

  it('refuses a file that is not gzip and one that was abandoned, and goes on', () => {
    expect(parse(Buffer.from('@put 1 a\nAAAA\n@end\n@put 2 b\nAAAA\n@mark on\n'))).toEqual([
      { kind: 'refused', id: '1', reason: expect.stringMatching(/^a: /) },
      { kind: 'refused', id: '2', reason: 'b: the guest stopped sending it' },
      { kind: 'mark', name: 'on' },
    ]);
  });

  it('keeps a file that inflates without end from filling the memory', () => {
    const members = Array.from({ length: 33 }, () => BOMB);
    const bomb = Buffer.concat(members).toString('base64').replaceAll(/.{1,76}/g, '$&\n');
    expect(parse(Buffer.from(`@put 1 bomb\n${bomb}@end\n`))).toMatchObject([{ kind: 'refused', id: '1' }]);
  });

  it('skips a line without end once, and what it does not know', () => {
    expect(parse(Buffer.from(`${'x'.repeat(200_000)}\n@what ever\n@exit 1000\n@exit 0\n`), 4096)).toEqual([
      { kind: 'refused', id: undefined, reason: 'a line of more than MAX_CONTROL_LINE (65536) bytes' },
      { kind: 'refused', id: undefined, reason: 'not a request: "@what ever"' },
      { kind: 'refused', id: undefined, reason: 'not a request: "@exit 1000"' },
      { kind: 'exit', status: 0 },
    ]);
  });
});

describe('formatAnswer', () => {
  it('marks every line with the id, so that it cannot be taken for another one', () => {
    expect(formatAnswer('12', 0)).toBe('12 done 0\n');
    expect(formatAnswer('12', 1, 'Error: no\r\n\r\nsuch\r\n')).toBe('12 Error: no\n12 \n12 such\n12 done 1\n');
  });
});

/** One of the members that make a gzip file of more than MAX_PUT_SIZE. */
const BOMB = gzipSync(Buffer.alloc(8 * 1024 * 1024));

function parse(bytes: Buffer, size = bytes.length): GuestRequest[] {
  const parser = new ControlLineParser();
  const requests: GuestRequest[] = [];
  for (let at = 0; at < bytes.length; at += size) requests.push(...parser.push(bytes.subarray(at, at + size)));
  return requests;
}

function put(id: number, name: string, text: string): string {
  const lines = gzipSync(text).toString('base64').replaceAll(/.{1,76}/g, '$&\n');
  return `@put ${id} ${name}\n${lines}@end\n`;
}
