import { describe, expect, it } from 'vitest';

import { ParseError } from '../../../src/errors.ts';
import { parseCaseFile } from '../../../src/udev/rules/test-case.ts';
import { compareResult } from '../../../src/udev/rules/test-compare.ts';
import type { CaseResult } from '../../../src/udev/rules/test-compare.ts';

const DEVICE = 'P: /devices/x\n';

describe('parseCaseFile', () => {
  it('reads devices, inputs, answers and expectations', () => {
    const file = parseCaseFile(`# made by hand
rules: ..
devices: more.umockdev
P: /devices/x
A: a=1

case: first
action: change
device: /devices/x
event: DISK_EJECT_REQUEST=1
stored: ID_A=b=c
const: virt=kvm
global: G=1
sysctl: kernel.x=1
cmdline: quiet root=/dev/x
program: p --q x
  A=1
  B=2
status: 3
builtin: blkid
file: /etc/x
  one
  two

expect:
links: a b
links: c
run: prog x
run{builtin}: kmod load
mode: 660
name: none
no-property: X
properties:
  A=1

case: second
expect:
tags: none
`, 'a.case');
    expect(file).toMatchObject({
      devices: [{ text: 'P: /devices/x', line: 4 }, { text: 'A: a=1', line: 5 }], includes: [{ text: 'more.umockdev', line: 3 }], rules: ['..'],
    });
    expect(file.cases).toEqual([
      {
        title: 'first', file: 'a.case', line: 7, device: '/devices/x', action: 'change', cmdline: 'quiet root=/dev/x', rules: [],
        event: new Map([['DISK_EJECT_REQUEST', '1']]), stored: new Map([['ID_A', 'b=c']]), constants: new Map([['virt', 'kvm']]), globals: new Map([['G', '1']]),
        sysctls: new Map([['kernel.x', '1']]), files: new Map([['/etc/x', 'one\ntwo\n']]),
        programs: new Map([['p --q x', { status: 3, output: 'A=1\nB=2\n' }]]), builtins: new Map([['blkid', { status: 0, output: '' }]]),
        expected: [
          { type: 'links', line: 26, values: ['a', 'b', 'c'] }, { type: 'run', line: 28, values: ['prog x', '{builtin} kmod load'] }, { type: 'mode', line: 30, text: '660' },
          { type: 'name', line: 31, text: undefined }, { type: 'property', line: 32, key: 'X', text: undefined }, { type: 'properties', line: 33, values: new Map([['A', '1']]) },
        ],
      },
      expect.objectContaining({ title: 'second', line: 36, action: 'add', expected: [{ type: 'tags', line: 38, values: [] }] }),
    ]);
  });

  it.each([
    ['case: x\nexpect:\nmode: 0660', 'a.case:3: no device: P: comes first'],
    [`${DEVICE}action: add`, 'a.case:2: action: before the first case: only devices, "devices:" and "rules:" are of the whole file'],
    [`${DEVICE}case: x\nfoo: 1`, 'a.case:3: unknown key "foo:"'],
    [`${DEVICE}case: x\nlinks: a`, 'a.case:3: unknown key "links:": expectations come behind "expect:"'],
    [`${DEVICE}case: x\nexpect:\ncolour: red`, 'a.case:4: unknown expectation "colour:"'],
    [`${DEVICE}case: x\nexpect:\nmode: rw-`, 'a.case:4: mode: is octal digits, or none'],
    [`${DEVICE}case: x\nexpect:\nproperty: A`, 'a.case:4: property: is KEY=VALUE, not "A"'],
    [`${DEVICE}case: x\nstatus: 1`, 'a.case:3: status: is a number, behind "program:" or "builtin:"'],
    [`${DEVICE}case: x\nbuiltin: a\nbuiltin: a`, 'a.case:4: "a" is answered twice'],
    [`${DEVICE}case: x\n\ncase: y\nexpect:\nmode: 0660`, 'a.case:2: nothing is expected of the case "x": "expect:" and a line for each thing'],
    [`${DEVICE}case:`, 'a.case:2: case: without a value'],
    [`${DEVICE}nonsense`, 'a.case:2: neither "key: value" nor a line of a captured device'],
  ])('refuses %j with its line', (text, message) => {
    expect(() => parseCaseFile(text, 'a.case')).toThrow(ParseError);
    expect(() => parseCaseFile(text, 'a.case')).toThrow(new ParseError({ file: 'a.case', line: Number(/:(\d+):/.exec(message)?.[1]), message: message.replace(/^a\.case:\d+: /, '') }));
  });
});

describe('compareResult', () => {
  const result: CaseResult = {
    properties: new Map([['A', '1'], ['B', '2']]), databaseProperties: new Map([['B', '2']]), currentTags: new Set(['seat']), links: ['x', 'y'], linkPriority: 0,
    name: undefined, owner: undefined, group: 'disk', mode: 0o660, run: ['a', '{builtin} kmod load'], writes: [], watch: true, dbPersist: false,
  };

  it('finds nothing where all is as expected', () => {
    expect(compareResult([
      { type: 'links', line: 1, values: ['y', 'x'] }, { type: 'tags', line: 2, values: ['seat'] }, { type: 'run', line: 3, values: ['a', '{builtin} kmod load'] },
      { type: 'property', line: 4, key: 'A', text: '1' }, { type: 'property', line: 5, key: 'C', text: undefined }, { type: 'properties', line: 6, values: new Map([['B', '2']]) },
      { type: 'mode', line: 7, text: '660' }, { type: 'owner', line: 8, text: undefined }, { type: 'group', line: 9, text: 'disk' }, { type: 'priority', line: 10, text: '0' },
      { type: 'watch', line: 11, text: 'yes' }, { type: 'persist', line: 12, text: 'no' }, { type: 'writes', line: 13, values: [] }, { type: 'name', line: 14, text: undefined },
    ], result)).toEqual([]);
  });

  it('says of each thing what was expected and what is', () => {
    expect(compareResult([
      { type: 'links', line: 1, values: ['x', 'z'] }, { type: 'run', line: 2, values: ['{builtin} kmod load'] }, { type: 'property', line: 3, key: 'A', text: undefined },
      { type: 'properties', line: 4, values: new Map([['C', '3']]) }, { type: 'mode', line: 5, text: '0600' }, { type: 'group', line: 6, text: undefined },
    ], result)).toEqual([
      { line: 1, what: 'link', expected: 'z', actual: undefined }, { line: 1, what: 'link', expected: undefined, actual: 'y' },
      { line: 2, what: 'run', expected: '{builtin} kmod load', actual: 'a' }, { line: 2, what: 'run', expected: undefined, actual: '{builtin} kmod load' },
      { line: 3, what: 'property A', expected: undefined, actual: '1' },
      { line: 4, what: 'property C', expected: '3', actual: undefined }, { line: 4, what: 'property B', expected: undefined, actual: '2' },
      { line: 5, what: 'mode', expected: '0600', actual: '0660' }, { line: 6, what: 'group', expected: undefined, actual: 'disk' },
    ]);
  });
});
