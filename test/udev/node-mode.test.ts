import { describe, expect, it } from 'vitest';

import { wishedMode } from '../../src/udev/node.ts';

const mode = (properties: Readonly<Record<string, string>>, wishes: { readonly mode?: number; readonly group?: number }): number | undefined => (
  wishedMode({ properties: new Map(Object.entries(properties)) }, wishes)
);

// As udevadm test of udev 252 sets nodes of a tmpfs.
describe('wishedMode', () => {
  it('takes the word of the rules, then of the driver, then what a group needs', () => {
    expect(mode({ DEVMODE: '0666' }, { mode: 0o600, group: 6 })).toBe(0o600);
    expect(mode({ DEVMODE: '0666' }, { group: 6 })).toBe(0o666);
    expect(mode({}, { group: 6 })).toBe(0o660);
    expect(mode({}, { group: 0 })).toBeUndefined();
    expect(mode({}, {})).toBeUndefined();
  });
});
