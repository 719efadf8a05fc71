import { describe, expect, it } from 'vitest';

import { cutFormat } from '../../../src/udev/rules/format.ts';

describe('cutFormat', () => {
  it('cuts at every substitution, long and short', () => {
    expect(cutFormat('a$kernel%n$attr{x/y}%E{Z}$$%%b').format).toEqual([
      'a', { type: 'kernel' }, { type: 'number' }, { type: 'attr', argument: 'x/y' }, { type: 'env', argument: 'Z' }, '$%b',
    ]);
    expect(cutFormat('').format).toEqual([]);
    expect(cutFormat('plain').format).toEqual(['plain']);
  });

  it('takes the first name that fits, and the rest for text', () => {
    expect(cutFormat('$kernelx$devnodes$sysfs{a}$sysx').format).toEqual([
      { type: 'kernel' }, 'x', { type: 'devnode' }, 's', { type: 'attr', argument: 'a' }, { type: 'sys' }, 'x',
    ]);
  });

  it('swallows braces behind a name that takes none', () => {
    expect(cutFormat('%k{zz}.').format).toEqual([{ type: 'kernel', argument: 'zz' }, '.']);
  });

  // What becomes of them was seen with `udevadm test` of udev 252.
  it('leaves what it does not know as it is', () => {
    expect(cutFormat('a$foo %q%')).toEqual({ format: ['a$foo %q%'], problem: { position: 2, hint: 'invalid substitution type' } });
  });

  it('ends at an unfinished one', () => {
    expect(cutFormat('a$attr{b c')).toEqual({ format: ['a'], problem: { position: 2, hint: 'invalid substitution type' } });
    expect(cutFormat('x$env{} y')).toEqual({ format: ['x'], problem: { position: 2, hint: 'invalid substitution type' } });
    expect(cutFormat('x$attr y')).toEqual({ format: ['x'], problem: { position: 7, hint: 'attribute value missing' } });
  });

  it('reads the field of $result, and drops one that is none', () => {
    expect(cutFormat('%c{0x2+}%c{1}%c').format).toEqual([{ type: 'result', argument: '2+' }, { type: 'result', argument: '1' }, { type: 'result' }]);
    expect(cutFormat('x$result{a} y')).toEqual({ format: ['x y'], problem: { position: 12, hint: 'attribute value not a valid number' } });
  });

  it('counts positions in bytes', () => {
    expect(cutFormat('é😀$foo').problem?.position).toBe(7);
  });
});
