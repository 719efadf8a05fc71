import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../../../src/system.ts';
import { byName, listRulesFiles, loadRules, rulesDirectories, rulesSignature } from '../../../src/udev/rules/rule-files.ts';
import { fixtureRoot } from '../../fixture-root.ts';

const RULE = 'KERNEL=="a", TAG+="b"\n';
const below = (root: string, paths: readonly { readonly path: string }[]) => paths.map(({ path }) => path.slice(root.length));
const list = (root: string) => below(root, listRulesFiles(rulesDirectories(openSystem({ root })), root));

describe('listRulesFiles', () => {
  it('takes each name from the first directory that has it, and sorts by name', () => {
    const root = fixtureRoot({
      'lib/udev/rules.d/10-l.rules': RULE, 'lib/udev/rules.d/50-all.rules': RULE,
      'usr/lib/udev/rules.d/50-all.rules': RULE, 'usr/lib/udev/rules.d/9-u.rules': RULE,
      'usr/local/lib/udev/rules.d/50-all.rules': RULE, 'run/udev/rules.d/50-all.rules': RULE, 'run/udev/rules.d/60-r.rules': RULE,
      'etc/udev/rules.d/60-r.rules': RULE, 'etc/udev/rules.d/.70-h.rules': RULE, 'etc/udev/rules.d/70-h.rules~': RULE, 'etc/udev/rules.d/70.conf': RULE,
    });
    mkdirSync(join(root, 'etc/udev/rules.d/80-d.rules'));
    expect(list(root)).toEqual([
      '/lib/udev/rules.d/10-l.rules', '/run/udev/rules.d/50-all.rules', '/etc/udev/rules.d/60-r.rules', '/usr/lib/udev/rules.d/9-u.rules',
    ]);
  });
});

describe('byName', () => {
  it('is the order of bytes, not of characters', () => {
    const names = ['b', 'a', 'Z', '\u{1f600}', '\uffee', 'é'].map((name) => ({ name, path: name }));
    expect(names.sort(byName).map(({ name }) => name)).toEqual(['Z', 'a', 'b', 'é', '\uffee', '\u{1f600}']);
  });
});

describe('loadRules', () => {
  it('reads what is not masked by an empty file or a link to /dev/null, with the names of that machine', () => {
    const root = fixtureRoot({
      'usr/lib/udev/rules.d/10-a.rules': RULE, 'usr/lib/udev/rules.d/20-b.rules': RULE, 'usr/lib/udev/rules.d/30-c.rules': 'OWNER="alice", GROUP="root"\nFOO="x"\n',
      'etc/udev/rules.d/10-a.rules': '', 'etc/passwd': 'alice:x:1234:1234::/:/bin/sh\n',
    });
    symlinkSync('/dev/null', join(root, 'etc/udev/rules.d/20-b.rules'));
    const { rules, problems } = loadRules(openSystem({ root }));
    const file = join(root, 'usr/lib/udev/rules.d/30-c.rules');
    expect(rules).toEqual({
      files: [{ file, lines: [{ file, line: 1, effects: ['node'], tokens: [
        { key: 'OWNER#', op: '=', value: 'alice', number: 1234, column: 1 }, { key: 'GROUP#', op: '=', value: 'root', number: 0, column: 16 },
      ] }] }],
    });
    expect(problems).toEqual([{ file, line: 2, column: 1, severity: 'error', message: 'Invalid key \'FOO\'.' }]);
  });

  it('follows links inside the root, and never out of it', () => {
    const root = fixtureRoot({ 'etc/real.rules': RULE, 'etc/udev/rules.d/1.rules': RULE });
    symlinkSync('/etc/real.rules', join(root, 'etc/udev/rules.d/2.rules'));
    symlinkSync('../../../../../../../../etc/real.rules', join(root, 'etc/udev/rules.d/3.rules'));
    symlinkSync('/etc/udev/rules.d/loop.rules', join(root, 'etc/udev/rules.d/loop.rules'));
    symlinkSync('/etc/hostname', join(root, 'etc/udev/rules.d/out.rules'));
    mkdirSync(join(root, 'usr/lib'), { recursive: true });
    symlinkSync('/etc/udev', join(root, 'usr/lib/udev'));
    const system = openSystem({ root });
    expect(() => loadRules(system)).toThrow(/ELOOP/);
    rmSync(join(root, 'etc/udev/rules.d/loop.rules'));
    const { rules, problems } = loadRules(system);
    expect(below(root, rules.files.map(({ file }) => ({ path: file })))).toEqual(['/etc/udev/rules.d/1.rules', '/etc/udev/rules.d/2.rules', '/etc/udev/rules.d/3.rules']);
    expect(problems).toEqual([{
      file: join(root, 'etc/udev/rules.d/out.rules'), line: 0, severity: 'error',
      message: `open ${join(root, 'etc/udev/rules.d/out.rules')}: No such file or directory (ENOENT)`,
    }]);
  });

  it('has a signature that changes with the files', () => {
    const root = fixtureRoot({ 'etc/udev/rules.d/1.rules': RULE });
    const system = openSystem({ root });
    const { signature } = loadRules(system);
    expect(rulesSignature(system)).toBe(signature);
    writeFileSync(join(root, 'etc/udev/rules.d/2.rules'), RULE);
    const second = rulesSignature(system);
    writeFileSync(join(root, 'etc/udev/rules.d/1.rules'), `${RULE}\n`);
    const third = rulesSignature(system);
    rmSync(join(root, 'etc/udev/rules.d/2.rules'));
    expect(new Set([signature, second, third, rulesSignature(system)]).size).toBe(4);
  });

  it('finds nothing where there is nothing', () => {
    expect(loadRules(openSystem({ root: fixtureRoot({}) }))).toEqual({ rules: { files: [] }, problems: [], signature: '' });
  });
});
