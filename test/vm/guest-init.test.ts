// The texts that each guest has from us.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { parseNames } from '../../src/udev/rules/names.ts';
import { GUEST_TEXTS } from '../../src/vm/guest-init.ts';

const rules = join(import.meta.dirname, '../../rules');

describe('GUEST_TEXTS', () => {
  it('has every group that our own rules name', () => {
    const texts = readdirSync(rules).filter((name) => name.endsWith('.rules')).map((name) => readFileSync(join(rules, name), 'utf8'));
    const named = new Set(texts.flatMap((text) => [...text.matchAll(/GROUP="([a-z]+)"/g)].map(([, group = '']) => group)));
    const groups = parseNames(GUEST_TEXTS['/etc/group']);
    expect(named.size).toBeGreaterThan(5);
    expect([...named].filter((group) => !groups.has(group))).toEqual([]);
  });
});
