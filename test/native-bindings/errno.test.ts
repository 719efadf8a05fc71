import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';

import { describeErrno, errnoByName, errnoName, errnoText } from '../../native-bindings/errno.ts';

describe('describeErrno', () => {
  it('knows the numbers that modules give and Node does not', () => {
    expect([8, 65, 74, 80, 117, 126, 129].map(describeErrno)).toEqual([
      { code: 'ENOEXEC', text: 'Exec format error' },
      { code: 'ENOPKG', text: 'Package not installed' },
      { code: 'EBADMSG', text: 'Bad message' },
      { code: 'ELIBBAD', text: 'Accessing a corrupted shared library' },
      { code: 'EUCLEAN', text: 'Structure needs cleaning' },
      { code: 'ENOKEY', text: 'Required key not available' },
      { code: 'EKEYREJECTED', text: 'Key was rejected by service' },
    ]);
  });

  it('says of an unknown number what glibc says', () => {
    expect([0, 41, 58, 134, 524].map(describeErrno)).toEqual([
      { code: 'E0', text: 'Success' },
      { code: 'E41', text: 'Unknown error 41' },
      { code: 'E58', text: 'Unknown error 58' },
      { code: 'E134', text: 'Unknown error 134' },
      { code: 'E524', text: 'Unknown error 524' },
    ]);
  });
});

describe('errnoText', () => {
  it('gives the texts of strerror(3) of glibc for every number', (context) => {
    const script = 'import os; print("\\n".join(os.strerror(n) for n in range(140)))';
    let expected: string;
    try {
      expected = execFileSync('python3', ['-c', script], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
    } catch (error) {
      return context.skip(`python3 is the oracle: ${String(error)}`);
    }
    expect(Array.from({ length: 140 }, (_, errno) => errnoText(errno))).toEqual(expected.trimEnd().split('\n'));
  });
});

describe('errnoName and errnoByName', () => {
  it('agree with the constants of Node', () => {
    const numbers = Object.fromEntries(Object.keys(constants.errno).map((name) => [name, errnoByName(name)]));
    expect(numbers).toEqual(constants.errno);
  });

  it('are each the inverse of the other', () => {
    const names = Array.from({ length: 133 }, (_, index) => errnoName(index + 1)).filter((name) => !/^E\d+$/.test(name));
    expect(names.length).toBe(131);
    expect(names.map((name) => errnoName(errnoByName(name) ?? 0))).toEqual(names);
  });

  it('know nothing of a name that Linux lacks', () => {
    expect([errnoByName('ENOSUCH'), errnoByName('toString'), errnoByName('')]).toEqual([undefined, undefined, undefined]);
  });
});
