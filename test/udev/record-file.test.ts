import { describe, expect, it } from 'vitest';

import { LimitError } from '../../src/errors.ts';
import type { DeviceRecord } from '../../src/udev/record.ts';
import { EMPTY_RECORD, formatRecord, parseRecord, RECORD_FILE_MAX, RECORD_LINES_MAX } from '../../src/udev/record-file.ts';
import { random } from '../random.ts';

/** Left by `udevadm test` of udev 252 for /dev/null, under a rule made for it. */
const OF_252 = 'S:null2\nS:foo\nS:my/null\nL:5\nI:12074274605\nE:A=b c\nE:Q=a"b\\`y\nG:t2\nG:t1\nQ:t2\nQ:t1\nV:1\n';
const RECORD: DeviceRecord = {
  links: ['null2', 'foo', 'my/null'], linkPriority: 5, initialisedUsec: 12074274605, properties: new Map([['A', 'b c'], ['Q', 'a"b\\`y']]),
  tags: new Set(['t2', 't1']), currentTags: new Set(['t2', 't1']),
};

describe('parseRecord', () => {
  it('reads what udev 252 wrote', () => {
    expect(parseRecord(OF_252)).toEqual(RECORD);
  });

  it('takes an empty file for an empty record', () => {
    expect(parseRecord('')).toEqual(EMPTY_RECORD);
  });

  it('leaves out lines that it does not know, and keeps the rest', () => {
    expect(parseRecord('W:7\nX:1\nS\nS:\nE:novalue\nE:=x\nE:K=\nL:no\nI:-4\nI:99999999999999999999\nG:t\nV:1\nE:cut=of')).toEqual({
      ...EMPTY_RECORD, properties: new Map([['K', ''], ['cut', 'of']]), tags: new Set(['t']),
    });
  });

  it('takes all tags of a file without version for current ones', () => {
    expect(parseRecord('G:a\nG:b\n').currentTags).toEqual(new Set(['a', 'b']));
  });

  it('keeps the keys apart from those of an object', () => {
    expect([...parseRecord('E:__proto__=1\nV:1\n').properties]).toEqual([['__proto__', '1']]);
  });

  it('refuses more than a record may have', () => {
    expect(() => parseRecord('x'.repeat(RECORD_FILE_MAX + 1))).toThrow(LimitError);
    expect(() => parseRecord('\n'.repeat(RECORD_LINES_MAX))).toThrow(LimitError);
  });

  it('throws nothing at damaged files', () => {
    const below = random(7);
    for (let round = 0; round < 500; round++) {
      const at = below(OF_252.length);
      const text = OF_252.slice(0, at) + String.fromCharCode(below(128)) + OF_252.slice(at + below(4));
      const record = parseRecord(text);
      expect(parseRecord(formatRecord(record)).links).toEqual(record.links);
    }
  });
});

describe('formatRecord', () => {
  it('writes what udev 252 writes', () => {
    expect(formatRecord(RECORD)).toBe(OF_252);
  });

  it('writes nothing for a record that says nothing but a time', () => {
    expect(formatRecord({ ...EMPTY_RECORD, initialisedUsec: 5 })).toBe('');
    expect(formatRecord({ ...EMPTY_RECORD, properties: new Map([['.hidden', '1']]) })).toBe('');
  });

  it('keeps out properties with a leading dot, and values from becoming lines', () => {
    const properties = new Map([['.hidden', '1'], ['A', 'x\nS:evil'], ['B\nS:evil', '1'], ['C=', '1']]);
    expect(formatRecord({ ...EMPTY_RECORD, properties, links: ['a\nb', 'c'] })).toBe('S:c\nE:A=x\nV:1\n');
  });
});
