import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { openSystem } from '../../src/system.ts';
import { applyRules } from '../../src/udev/rules/apply.ts';
import { openRuleStore } from '../../src/udev/rule-store.ts';
import type { RuleStore } from '../../src/udev/rule-store.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { fakeHost, VDA } from './rules/machine.ts';

const ETC = 'etc/udev/rules.d';

type Files = Readonly<Record<string, string>>;

async function open(files: Files, defaults?: Files) {
  const below = (directory: string, given: Files) => Object.entries(given).map(([name, text]) => [`${directory}/${name}`, text]);
  const root = fixtureRoot(Object.fromEntries([...below(ETC, files), ...below('defaults', defaults ?? {})]));
  const log = recordingLog();
  const store = await openRuleStore(openSystem({ root, log }), defaults ? { defaultDirectory: join(root, 'defaults') } : {});
  const path = (name: string) => join(root, name.includes('/') ? name : `${ETC}/${name}`);
  return {
    store,
    /** What has been said since the last time. */
    said: () => (log.lines as string[]).splice(0).filter((line) => !line.startsWith('debug')).map((line) => line.replaceAll(`${root}/`, '')),
    async write(name: string, text: string) {
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), text);
      await store.reload();
    },
    async remove(name: string) {
      rmSync(path(name));
      await store.reload();
    },
  };
}

/** The properties that the rules in force set, in their order. */
async function inForce({ rules }: RuleStore): Promise<string> {
  const host = fakeHost();
  const { databaseProperties } = await applyRules(rules, { device: host.device(VDA), action: 'add' }, host);
  return [...databaseProperties].map(([key, value]) => `${key}=${value}`).join(' ');
}

const FAULTY = 'KERNEL==vda, ENV{B}="broken"\nENV{B2}="rest"\n';
const KEPT = (name: string, what: string) => `error rules-kept: ${ETC}/${name} is faulty: ${what}`;
const PROBLEM = (name: string) => `error rules-problem: ${ETC}/${name}:1:1 Invalid key/value pair, ignoring.`;

describe('openRuleStore', () => {
  it('loses of a file that is faulty from the start the faulty lines only', async () => {
    const { store, said } = await open({ '10-a.rules': 'ENV{A}="1"', '20-b.rules': FAULTY });
    expect(await inForce(store)).toBe('A=1 B2=rest');
    expect(said()).toEqual([PROBLEM('20-b.rules')]);
  });

  it('puts the defaults behind the rules of the machine, by name like all', async () => {
    const { store } = await open({ '60-x.rules': 'ENV{X}="own"' }, { '50-d.rules': 'ENV{D}="1"', '60-x.rules': 'ENV{X}="default"', '70-e.rules': 'ENV{E}="1"' });
    expect(await inForce(store)).toBe('D=1 X=own E=1');
  });

  it('leaves the defaults out where udev has its own', async () => {
    const { store, write, remove } = await open({ '50-udev-default.rules': 'ENV{STOCK}="1"' }, { '50-d.rules': 'ENV{D}="1"' });
    expect(await inForce(store)).toBe('STOCK=1');
    await remove('50-udev-default.rules');
    expect(await inForce(store)).toBe('D=1');
    await write('50-udev-default.rules', 'ENV{STOCK}="2"');
    expect(await inForce(store)).toBe('STOCK=2');
  });
});

describe('reload', () => {
  it('takes what is new, changed and gone', async () => {
    const { store, write, remove, said } = await open({ '10-a.rules': 'ENV{A}="1"', '30-c.rules': 'ENV{C}="1"' });
    await write('20-b.rules', 'ENV{B}="2"');
    await write('10-a.rules', 'ENV{A}="2"');
    await remove('30-c.rules');
    expect(await inForce(store)).toBe('A=2 B=2');
    expect(said()).toEqual([]);
  });

  it('gives the same rules while no file changes', async () => {
    const { store } = await open({ '10-a.rules': 'ENV{A}="1"' });
    const before = store.rules;
    await store.reload();
    expect(store.rules).toBe(before);
  });

  it('keeps the rules that a file had when it becomes faulty, until it is put right', async () => {
    const { store, write, said } = await open({ '10-a.rules': 'ENV{A}="1"', '20-b.rules': 'ENV{B}="old"', '30-c.rules': 'ENV{C}="1"' });
    await write('20-b.rules', FAULTY);
    expect(await inForce(store)).toBe('A=1 B=old C=1');
    expect(said()).toEqual([PROBLEM('20-b.rules'), KEPT('20-b.rules', 'the rules that it had stay in force')]);
    // A change of another file makes no difference to it.
    await write('10-a.rules', 'ENV{A}="2"');
    expect(await inForce(store)).toBe('A=2 B=old C=1');
    said();
    await write('20-b.rules', 'ENV{B}="new"');
    expect(await inForce(store)).toBe('A=2 B=new C=1');
    expect(said()).toEqual([]);
  });

  it('keeps them also where nothing of the new text is a rule', async () => {
    const { store, write } = await open({ '10-a.rules': 'ENV{A}="1"', '20-b.rules': 'ENV{B}="old"', '30-c.rules': 'ENV{C}="1"' });
    await write('20-b.rules', 'nonsense');
    expect(await inForce(store)).toBe('A=1 B=old C=1');
  });

  it('uses nothing of a new file that is faulty, until it is put right', async () => {
    const { store, write, said } = await open({ '10-a.rules': 'ENV{A}="1"' });
    await write('20-b.rules', FAULTY);
    expect(await inForce(store)).toBe('A=1');
    expect(said()).toEqual([PROBLEM('20-b.rules'), KEPT('20-b.rules', 'none of its rules is used')]);
    await write('20-b.rules', 'ENV{B}="new"');
    expect(await inForce(store)).toBe('A=1 B=new');
  });

  it('forgets a faulty file that goes', async () => {
    const { store, write, remove } = await open({ '10-a.rules': 'ENV{A}="1"', '20-b.rules': 'ENV{B}="old"' });
    await write('20-b.rules', FAULTY);
    await remove('20-b.rules');
    expect(await inForce(store)).toBe('A=1');
  });

  it('reads a file that was faulty from the start anew while it is, and keeps its rules once it was well', async () => {
    const { store, write } = await open({ '20-b.rules': FAULTY });
    await write('20-b.rules', `${FAULTY}ENV{MORE}="1"\n`);
    expect(await inForce(store)).toBe('B2=rest MORE=1');
    await write('20-b.rules', 'ENV{B}="well"');
    await write('20-b.rules', FAULTY);
    expect(await inForce(store)).toBe('B=well');
  });

  it('treats warnings as no fault', async () => {
    const { store, write, said } = await open({ '20-b.rules': 'ENV{B}="old"' });
    await write('20-b.rules', 'ENV{B}:="new"');
    expect(await inForce(store)).toBe('B=new');
    expect(said()).toEqual([`warn rules-problem: ${ETC}/20-b.rules:1:1 ENV key takes '==', '!=', '=', or '+=' operator, assuming '='.`]);
  });

  it('does the same for rules in TypeScript', async () => {
    const sets = (value: string) => `export const rule = () => ({ properties: { T: '${value}' } });`;
    const { store, write, remove, said } = await open({ '10-a.rules': 'ENV{A}="1"' });
    await write('20-t.rules.mjs', sets('old'));
    expect(await inForce(store)).toBe('A=1 T=old');
    await write('20-t.rules.mjs', 'export const rule = 1;');
    expect(await inForce(store)).toBe('A=1 T=old');
    expect(said()).toEqual([`error rules-problem: ${ETC}/20-t.rules.mjs exports no function \`rule\``, KEPT('20-t.rules.mjs', 'the rules that it had stay in force')]);
    await write('20-t.rules.mjs', sets('newer'));
    expect(await inForce(store)).toBe('A=1 T=newer');
    await remove('20-t.rules.mjs');
    expect(await inForce(store)).toBe('A=1');
  });

  it('does one after the other', async () => {
    const { store, write } = await open({ '10-a.rules.mjs': 'export const rule = () => ({ properties: { A: 1 } });' });
    const first = write('10-a.rules.mjs', 'export const rule = () => ({ properties: { A: 22 } });');
    const second = write('10-a.rules.mjs', 'export const rule = () => ({ properties: { A: 333 } });');
    await Promise.all([first, second]);
    expect(await inForce(store)).toBe('A=333');
  });
});
