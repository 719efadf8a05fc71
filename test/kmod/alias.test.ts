import { describe, expect, it } from 'vitest';

import { fnmatch, MAX_ALIAS_LENGTH, moduleNameOfPath, normalizeAlias } from '../../src/kmod/alias.ts';

describe('normalizeAlias', () => {
  it('turns dashes into underscores outside of brackets only', () => {
    expect(normalizeAlias('usb-storage')).toBe('usb_storage');
    expect(normalizeAlias('a-b[c-d]e-f')).toBe('a_b[c-d]e_f');
    expect(normalizeAlias('plain')).toBe('plain');
  });

  it('refuses unmatched brackets and names that no index can hold', () => {
    expect(normalizeAlias('a]b')).toBeUndefined();
    expect(normalizeAlias('a[b')).toBeUndefined();
    expect(normalizeAlias('x'.repeat(MAX_ALIAS_LENGTH))).toBeUndefined();
    expect(normalizeAlias('x'.repeat(MAX_ALIAS_LENGTH - 1))).toHaveLength(MAX_ALIAS_LENGTH - 1);
  });
});

describe('moduleNameOfPath', () => {
  it('is the base name up to the first dot', () => {
    expect(moduleNameOfPath('kernel/drivers/usb/storage/usb-storage.ko.xz')).toBe('usb_storage');
    expect(moduleNameOfPath('/x/a.b.ko')).toBe('a');
    expect(moduleNameOfPath('snd')).toBe('snd');
  });
});

describe('fnmatch', () => {
  it.each([
    ['a*c', 'abc', true], ['a*c', 'ac', true], ['a*c', 'ab', false], ['*', '', true], ['', '', true], ['?', '', false],
    ['a?c', 'a/c', true], ['*/*', 'a/b/c', true], ['.*', '.x', true], ['*', '.x', true],
    ['[abc]x', 'bx', true], ['[!abc]x', 'bx', false], ['[^abc]x', 'dx', true], ['[a-c]', 'b', true], ['[c-a]', 'b', false],
    ['[]a]', ']', true], ['[!]a]', 'b', true], ['[a-]', '-', true], ['[[:digit:]]x', '7x', true], ['[[:digit:]]x', 'ax', false],
    ['[a', '[a', true], ['\\*', '*', true], ['\\*', 'x', false], ['a\\', 'a\\', false], ['[\\]]', ']', true],
    ['pci:v*d*sv*sd*bc06sc04i*', 'pci:v1d2sv3sd4bc06sc04i00', true], ['a*b*c*d', 'aXbXcXbXd', true], ['**a', 'bba', true],
    ['dmi*:bd*10/22/2015*:x*', 'dmi:bvn:bd10/22/2015:svn:xY', true],
  ])('%j against %j is %j', (pattern, text, expected) => {
    expect(fnmatch(pattern, text)).toBe(expected);
  });

  it('stays fast where backtracking would explode', () => {
    expect(fnmatch(`${'a*'.repeat(40)}b`, 'a'.repeat(2000))).toBe(false);
  });
});
