import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../../../src/system.ts';
import { applyRules } from '../../../src/udev/rules/apply.ts';
import { distrust, loadAllRules } from '../../../src/udev/rules/rule-modules.ts';
import type { LoadedRules } from '../../../src/udev/rules/rule-files.ts';
import { fixtureRoot, recordingLog } from '../../fixture-root.ts';
import { fakeHost, VDA } from './machine.ts';

const ETC = 'etc/udev/rules.d';
const LIB = 'usr/lib/udev/rules.d';
const load = (root: string): Promise<LoadedRules> => loadAllRules(openSystem({ root, log: recordingLog() }));

/** What the rules of a root set for the disk. */
async function properties(root: string): Promise<Record<string, string>> {
  const host = fakeHost();
  const { rules, problems } = await load(root);
  expect(problems).toEqual([]);
  const result = await applyRules(rules, { device: host.device(VDA), action: 'add' }, host);
  return Object.fromEntries(result.databaseProperties);
}

const sets = (key: string, value: string) => `export const rule = (device, { properties }) => ({ properties: { ${key}: ${value} } });`;

describe('loadAllRules', () => {
  it('orders rules in TypeScript with the others by name', async () => {
    const root = fixtureRoot({
      [`${ETC}/10-a.rules`]: 'ENV{A}="1"',
      [`${LIB}/20-b.rules.mjs`]: sets('B', '`${properties.get("A")}2`'),
      [`${ETC}/30-c.rules`]: 'ENV{C}="$env{B}3"',
      [`${LIB}/40-d.rules.js`]: 'export default (device) => ({ properties: { D: device.sysname } });',
      [`${LIB}/50-no.mjs`]: 'throw new Error("not a rule");',
    });
    expect(await properties(root)).toEqual({ A: '1', B: '12', C: '123', D: 'vda' });
  });

  it('takes the first directory of a name, and nothing from a mask', async () => {
    const root = fixtureRoot({
      [`${ETC}/20-b.rules.mjs`]: sets('B', '"etc"'), [`${LIB}/20-b.rules.mjs`]: sets('B', '"lib"'),
      [`${ETC}/30-c.rules.mjs`]: '', [`${LIB}/30-c.rules.mjs`]: sets('C', '"lib"'), [`${LIB}/40-d.rules.mjs`]: sets('D', '"lib"'),
    });
    symlinkSync('/dev/null', join(root, ETC, '40-d.rules.mjs'));
    expect(await properties(root)).toEqual({ B: 'etc' });
  });

  it('loads a file again when its text changes', async () => {
    const root = fixtureRoot({ [`${ETC}/20-b.rules.mjs`]: sets('B', '"old"') });
    const before = await load(root);
    expect(await properties(root)).toEqual({ B: 'old' });
    writeFileSync(join(root, ETC, '20-b.rules.mjs'), sets('B', '"newer"'));
    expect(await properties(root)).toEqual({ B: 'newer' });
    expect((await load(root)).signature).not.toBe(before.signature);
  });

  it('says which file cannot be loaded and why, and reads the others', async () => {
    const files = {
      'a.rules.mjs': 'export const rule = ', 'b.rules.mjs': 'export const other = 1;', 'c.rules.cjs': 'x', 'd.rules.mjs': 'throw new Error("no luck");',
      'e.rules.mjs': `export const rule = () => undefined;${' '.repeat(1 << 20)}`, 'f.rules.js': 'module.exports = { rule() {} };', 'z.rules': 'ENV{Z}="1"',
    };
    const root = fixtureRoot(Object.fromEntries(Object.entries(files).map(([name, text]) => [`${ETC}/${name}`, text])));
    mkdirSync(join(root, ETC, 'g.rules.mjs'));
    const { rules, problems } = await load(root);
    expect(rules.files.map(({ file }) => file)).toEqual([join(root, ETC, 'z.rules')]);
    expect(problems.map(({ file, line, severity, message }) => [file.slice(dirname(file).length + 1), line, severity, message])).toEqual([
      ['a.rules.mjs', 0, 'error', expect.any(String)],
      ['b.rules.mjs', 0, 'error', 'exports no function `rule`'],
      ['d.rules.mjs', 0, 'error', 'no luck'],
      ['e.rules.mjs', 0, 'error', 'has 1048612 bytes, more than RULE_MODULE_MAX (1048576)'],
      ['f.rules.js', 0, 'error', expect.stringContaining('CommonJS')],
    ]);
  });

  it.skipIf(Boolean((process.features as { typescript?: unknown }).typescript))('names the Node that a .ts file needs', async () => {
    const root = fixtureRoot({ [`${ETC}/a.rules.ts`]: 'export const rule = (): void => undefined;' });
    expect((await load(root)).problems).toEqual([{
      file: join(root, ETC, 'a.rules.ts'), line: 0, severity: 'error',
      message: `Node ${process.version} cannot run TypeScript: Node 22.18 or later can; or write the rule as .mjs`,
    }]);
  });

  it.runIf(process.geteuid?.() === 0)('loads nothing for root that others could have written', async () => {
    const root = fixtureRoot({ [`${ETC}/a.rules.mjs`]: 'throw new Error("run");', [`${LIB}/b.rules.mjs`]: 'throw new Error("run");' });
    chmodSync(join(root, ETC, 'a.rules.mjs'), 0o664);
    chmodSync(join(root, LIB), 0o777);
    expect((await load(root)).problems.map(({ message }) => message.replace(root, ''))).toEqual([
      'is code that would run as root, and the file can be written by others than root (mode 0664)',
      `is code that would run as root, and /${LIB} can be written by others than root (mode 0777)`,
    ]);
  });
});

describe('distrust', () => {
  it('wants root as the owner and no other writer, but for sticky directories', () => {
    expect(distrust({ uid: 0, mode: 0o100644 }, 'file')).toBeUndefined();
    expect(distrust({ uid: 1000, mode: 0o100644 }, 'file')).toBe('belongs to user 1000, not to root');
    expect(distrust({ uid: 0, mode: 0o041777 }, 'directory')).toBeUndefined();
    expect(distrust({ uid: 0, mode: 0o101777 }, 'file')).toBe('can be written by others than root (mode 1777)');
  });
});
