import { describe, expect, it } from 'vitest';

import type { Builtin } from '../../../src/udev/builtin/builtin.ts';
import { applyRules } from '../../../src/udev/rules/apply.ts';
import type { EventResult, TraceEntry } from '../../../src/udev/rules/event-result.ts';
import { parseRules } from '../../../src/udev/rules/parse.ts';
import type { RuleSet } from '../../../src/udev/rules/rule.ts';
import { neverMatched } from '../../../src/udev/rules/trace.ts';
import type { Coverage } from '../../../src/udev/rules/trace.ts';
import { fakeHost, LO, VDA } from './machine.ts';
import type { FakeHost, Machine } from './machine.ts';

const rulesOf = (text: string): RuleSet => ({ files: text.split('\n---\n').map((part, i) => parseRules(part, `${10 + i}.rules`).rules) });

type Asked = Machine & { readonly devpath?: string; readonly action?: string; readonly host?: FakeHost };

async function run(text: string, { devpath = VDA, action = 'add', host, ...machine }: Asked = {}): Promise<EventResult> {
  const on = host ?? fakeHost(machine);
  return applyRules(rulesOf(text), { device: on.device(devpath), action, record: machine.records?.[devpath] }, on);
}

/** What the rules set, beside what the kernel said. */
const setOf = ({ databaseProperties }: EventResult) => Object.fromEntries(databaseProperties);

const RECORD = {
  links: ['old'], linkPriority: 7, initialisedUsec: 99, properties: new Map([['ID_X', 'stored']]), tags: new Set(['seat', 'gone']), currentTags: new Set(['seat']),
};

describe('applyRules', () => {
  it('answers without a promise where nothing blocks', () => {
    const host = fakeHost();
    const builtin: Builtin = { name: 'path_id', help: '', runOnce: true, run: () => new Map([['ID_PATH', 'p']]) };
    const result = applyRules(rulesOf('IMPORT{builtin}="path_id", SYMLINK+="by-path/$env{ID_PATH}"'), { device: host.device(VDA), action: 'add' }, { ...host, builtin: () => builtin });
    expect(result).not.toBeInstanceOf(Promise);
    expect(result).toMatchObject({ links: ['by-path/p'] });
  });

  it('gives everything that rules can say', async () => {
    const result = await run(`KERNEL=="vda", OWNER="1", GROUP="disk", MODE="0640", TAG+="systemd", SYMLINK+="disk/a disk/b", OPTIONS+="link_priority=5", OPTIONS+="watch"
ENV{ID_A}="1", ENV{.HIDDEN}="2", OPTIONS+="db_persist", SECLABEL{selinux}="x:y", RUN+="helper %k", RUN{builtin}+="kmod load"`);
    expect(result).toEqual({
      properties: new Map([
        ['MAJOR', '254'], ['MINOR', '0'], ['DEVNAME', '/dev/vda'], ['DEVTYPE', 'disk'], ['DEVPATH', VDA], ['SUBSYSTEM', 'block'], ['ACTION', 'add'], ['ID_A', '1'], ['.HIDDEN', '2'],
      ]),
      databaseProperties: new Map([['ID_A', '1']]),
      tags: new Set(['systemd']), currentTags: new Set(['systemd']), links: ['disk/a', 'disk/b'], linkPriority: 5, name: undefined,
      owner: 1, group: 6, mode: 0o640, seclabels: new Map([['selinux', 'x:y']]), watch: true, dbPersist: true,
      // Builtins come before programs in a line.
      run: [{ type: 'builtin', command: 'kmod load', source: { file: '10.rules', line: 2 } }, { type: 'program', command: 'helper vda', source: { file: '10.rules', line: 2 } }],
    });
  });

  it('keeps the parent that a line found for the lines after it', async () => {
    expect(setOf(await run(`SUBSYSTEMS=="pci", ENV{A}="$id $driver $attr{vendor} $attr{size}"
ENV{B}="$id $attr{class}"
SUBSYSTEMS=="usb", ENV{X}="never"
ENV{C}="[$id$driver]"`))).toEqual({ A: '0000:00:02.0 virtio-pci 0x1af4 4096', B: '0000:00:02.0 0x018000', C: '[]' });
  });

  it('wants all tokens of the parents at one device', async () => {
    expect(setOf(await run(`ATTRS{vendor}=="0x1af4", DRIVERS=="virtio-pci", ENV{A}="$id"
SUBSYSTEMS=="virtio", DRIVERS=="virtio-pci", ENV{B}="never"`))).toEqual({ A: '0000:00:02.0' });
  });

  it('passes over lines whose every effect is impossible', async () => {
    const text = 'SYMLINK+="x", TAG=="", PROGRAM=="p"\nMODE="0600", IMPORT{program}="q"\nOWNER="0"\nNAME="n"';
    const host = fakeHost();
    expect(await run(text, { host, devpath: LO })).toMatchObject({ links: [], mode: undefined, owner: undefined, name: 'n' });
    expect(await run(text, { host, action: 'remove' })).toMatchObject({ links: [], owner: undefined, name: undefined });
  });

  it('jumps forward, to the first label of that name in the file', async () => {
    expect(setOf(await run(`GOTO="end"
ENV{A}="1"
LABEL="end"
ENV{B}="2"
LABEL="end", ENV{C}="3"
---
ENV{D}="4"`))).toEqual({ B: '2', C: '3', D: '4' });
  });

  it('sanitises links, values and interface names', async () => {
    const result = await run('SYMLINK+="s/$attr{serial} x/y(z)"\nENV{A}="$attr{serial}"\nOPTIONS+="string_escape=replace", ENV{B}="a/b c", SYMLINK+="q r"\nOPTIONS+="string_escape=none", SYMLINK+="n(1) n2"');
    expect(result.links).toEqual(['s/a_b/c_é', 'x/y_z_', 'q_r', 'n(1)', 'n2']);
    expect(setOf(result)).toEqual({ A: 'a b/c?é', B: 'a_b_c' });
    expect((await run('NAME="a/b:%k é"', { devpath: LO })).name).toBe('a_b_lo___');
  });

  it('normalises links, and refuses those that lead out of the directory', async () => {
    const host = fakeHost();
    expect((await run('SYMLINK+="./a//b /dev/c ../up x/../y /etc/passwd ."', { host })).links).toEqual(['a/b', 'c']);
    expect(host.said.filter((line) => line.startsWith('warn'))).toHaveLength(4);
  });

  it('closes a key with :=', async () => {
    expect(await run('SYMLINK:="a"\nSYMLINK+="b"\nMODE:="0600"\nMODE="0666"\nRUN:="x"\nRUN+="y"\nOPTIONS:="nowatch"\nOPTIONS+="watch"'))
      .toMatchObject({ links: ['a'], mode: 0o600, run: [{ command: 'x' }], watch: false });
  });

  it('sets a tag aside with -=, and forgets all with =', async () => {
    expect(await run('TAG+="a"\nTAG-="a"\nTAG=="a", ENV{X}="never"\nTAG+="b"')).toMatchObject({ tags: new Set(['a', 'b']), currentTags: new Set(['b']), databaseProperties: new Map() });
    expect(await run('TAG+="a"\nTAG="b"')).toMatchObject({ tags: new Set(['b']), currentTags: new Set(['b']) });
  });

  it('refuses what is too long, and cuts nothing', async () => {
    const long = 'x'.repeat(300);
    expect(setOf(await run(`ENV{A}="${long}"\nENV{B}="$env{A}$env{A}"\nENV{A}+="${long}"\nENV{C}="${'y'.repeat(511)}"`))).toEqual({ A: long, C: 'y'.repeat(511) });
  });

  it('reads the record of an earlier event', async () => {
    const records = { [VDA]: RECORD };
    const added = await run('IMPORT{db}="ID_X"\nIMPORT{db}="NO", ENV{X}="never"', { records });
    expect({ ...added, properties: undefined }).toMatchObject({ databaseProperties: new Map([['ID_X', 'stored']]), tags: new Set(['seat', 'gone']), currentTags: new Set(), links: [] });
  });

  it('takes a device that goes for what the database says', async () => {
    const removed = await run('ENV{ID_X}=="stored", TAG=="seat", RUN+="bye $links"', { records: { [VDA]: RECORD }, action: 'remove' });
    expect(removed).toMatchObject({ currentTags: new Set(['seat']), links: ['old'], linkPriority: 7, run: [{ command: 'bye old' }] });
    expect(removed.properties.get('USEC_INITIALIZED')).toBe('99');
  });

  it('imports from the parent what its database knows', async () => {
    const records = { '/devices/pci0000:00/0000:00:02.0/virtio1': { ...RECORD, properties: new Map([['ID_BUS', 'virtio'], ['ID_FS', 'no']]) } };
    expect(setOf(await run('IMPORT{parent}="ID_[!F]*"', { records }))).toEqual({ ID_BUS: 'virtio' });
  });

  it('runs programs with the properties so far, and keeps their result', async () => {
    const host = fakeHost({ programs: { 'p vda': 'one  two\tthree*\n\n', 'q vda': 'A="x y"\nbad\nB=\nC=1\n' } });
    const result = await run(`ENV{E}="1", SYMLINK+="l", TAG+="t"
PROGRAM=="p %k", ENV{R}="$result", ENV{R2}="%c{2}", ENV{R3}="%c{2+}"
IMPORT{program}="q %k"
PROGRAM!="fails", ENV{F}="[$result]"
PROGRAM=="env", ENV{ENVIRONMENT}="$result"`, { host });
    expect(setOf(result)).toMatchObject({ R: 'one  two three_', R2: 'two', R3: 'two three_', A: 'x y', C: '1', F: '[]' });
    expect(setOf(result)['ENVIRONMENT']).toMatch(/ E=1 .*DEVLINKS=\/dev\/l TAGS=:t: CURRENT_TAGS=:t:$/);
    expect(host.did).toEqual(['ran p vda', 'ran q vda', 'ran fails', 'ran env']);
  });

  it('runs a builtin once that says so, and takes a missing or failing one for a failure', async () => {
    let runs = 0;
    const builtins: Builtin[] = [
      { name: 'path_id', help: '', runOnce: true, run: () => new Map([['N', String(++runs)]]) },
      { name: 'usb_id', help: '', runOnce: false, run: () => Promise.reject(new Error('gone')) },
    ];
    expect(setOf(await run(`IMPORT{builtin}="path_id", ENV{A}="$env{N}"
IMPORT{builtin}="path_id", ENV{B}="$env{N}"
IMPORT{builtin}="usb_id", ENV{X}="never"
IMPORT{builtin}!="usb_id", ENV{C}="1"
IMPORT{builtin}!="hwdb", ENV{D}="1"`, { builtins }))).toEqual({ N: '1', A: '1', B: '1', C: '1', D: '1' });
  });

  it('writes attributes and sysctls at once, in the order of the rules', async () => {
    const host = fakeHost({ files: { [`/sys${VDA}/block/sda/uevent`]: '' }, programs: { p: '' } });
    await run('ATTR{queue/scheduler}="none"\nPROGRAM=="p", ATTR{block/*/uevent}="change"\nATTR{no/*/x}="y"\nSYSCTL{net.ipv4.conf.%k.forwarding}="1"\nATTR{[net/lo]mtu}="%n9"', { host });
    expect(host.did).toEqual([`wrote /sys${VDA}/queue/scheduler none`, 'ran p', `wrote /sys${VDA}/block/sda/uevent change`, 'sysctl net.ipv4.conf.vda.forwarding 1', `wrote /sys${LO}/mtu 9`]);
  });

  it('looks ENV up among the global properties too, CONST and the command line', async () => {
    expect(setOf(await run('ENV{G}=="1", ENV{A}="[$env{G}]"\nCONST{arch}=="x86*", CONST{virt}=="kvm", ENV{B}="1"\nIMPORT{cmdline}="root"\nIMPORT{cmdline}="quiet"\nIMPORT{cmdline}="no"', {
      globals: { G: '1' }, cmdline: 'root=/dev/vda quiet',
    }))).toEqual({ A: '[]', B: '1', root: '/dev/vda', quiet: '1' });
  });

  it('traces what every token saw', async () => {
    const host = fakeHost();
    const trace: TraceEntry[] = [];
    await applyRules(rulesOf('KERNEL=="vd*", ATTR{size}=="1", ENV{A}="1"\nSUBSYSTEMS=="pci", ATTR{size}!="1", SYMLINK+="%k-x"'), { device: host.device(VDA), action: 'add' }, host, { trace });
    const [one, two] = [{ file: '10.rules', line: 1 }, { file: '10.rules', line: 2 }];
    expect(trace).toEqual([
      { ...one, token: 'KERNEL=="vd*"', outcome: 'match', saw: 'vda' },
      { ...one, token: 'ATTR{size}=="1"', outcome: 'no-match', saw: '4096' },
      { ...two, token: 'ATTR{size}!="1"', outcome: 'match', saw: '4096' },
      { ...two, token: 'SUBSYSTEMS=="pci"', outcome: 'match', saw: 'pci at /devices/pci0000:00/0000:00:02.0' },
      { ...two, token: 'SYMLINK+="%k-x"', outcome: 'applied', saw: 'vda-x' },
    ]);
  });

  it('tells which lines never matched', async () => {
    const host = fakeHost();
    const rules = rulesOf('KERNEL=="vda", ENV{A}="1"\nKERNEL=="sda", ENV{B}="1"\nGOTO="end"\nENV{C}="1"\nLABEL="end"');
    const coverage: Coverage = new Map();
    await applyRules(rules, { device: host.device(VDA), action: 'add' }, host, { coverage });
    expect(neverMatched(rules, coverage).map(({ line }) => line)).toEqual([2, 4]);
    expect([...coverage].map(([{ line }, counts]) => ({ line, ...counts }))).toEqual([{ line: 1, ran: 1, matched: 1 }, { line: 2, ran: 1, matched: 0 }, { line: 3, ran: 1, matched: 1 }]);
  });
});
