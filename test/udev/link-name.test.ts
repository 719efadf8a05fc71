import { describe, expect, it } from 'vitest';

import { escapeLinkName, normalDevName } from '../../src/udev/link-name.ts';

describe('escapeLinkName', () => {
  it('escapes slashes and backslashes only', () => {
    expect(escapeLinkName('disk/by-id/a\\x20b c')).toBe('disk\\x2fby-id\\x2fa\\x5cx20b c');
  });

  // The names that udev 252 gave to these links.
  it.each([
    [`disk/by-x/${'a'.repeat(100)}/${'b'.repeat(100)}/${'c'.repeat(70)}`, `disk\\x2fby-x\\x2f${'a'.repeat(100)}\\x2f${'b'.repeat(100)}\\x2f${'c'.repeat(20)}KZM9HfW3dRv`],
    [`${'x'.repeat(240)}/${'y'.repeat(11)}`, `${'x'.repeat(240)}\\x2f${'y'.repeat(11)}`],
    [`${'x'.repeat(240)}/${'y'.repeat(30)}`, `${'x'.repeat(240)}\\x2fE4bX4UwAU25`],
    [`${'x'.repeat(238)}/${'y'.repeat(30)}`, `${'x'.repeat(238)}\\x2fyyLgk5dbMVzuE`],
  ])('names %s as udev does', (link, name) => {
    expect(escapeLinkName(link)).toBe(name);
  });

  it('cuts neither an escape nor a character in two', () => {
    for (let length = 230; length < 256; length++) {
      for (const middle of ['/', '\\', 'é', '€', '😀']) {
        const name = escapeLinkName(`${'x'.repeat(length)}${middle}${'y'.repeat(40)}`);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
        expect(name).toMatch(/^x+(?:\\x2f|\\x5c|é|€|😀)?y*[\w-]{11}$/u);
      }
    }
  });
});

describe('normalDevName', () => {
  it('drops needless slashes and dots', () => {
    expect(normalDevName('/disk//by-id/./x/')).toBe('disk/by-id/x');
  });

  it('refuses what leads out of /dev or is no path', () => {
    expect(['', '/', '.', '..', 'a/../b', 'a\0b', 'x'.repeat(4096)].map(normalDevName)).toEqual(Array(7).fill(undefined));
  });
});
