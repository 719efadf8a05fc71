import { describe, expect, it } from 'vitest';

import { openSystem } from '../../../src/system.ts';
import { applyRules } from '../../../src/udev/rules/apply.ts';
import type { DeviceRule } from '../../../src/udev/rules/device-rule.ts';
import type { EventResult, TraceEntry } from '../../../src/udev/rules/event-result.ts';
import { parseRules } from '../../../src/udev/rules/parse.ts';
import type { RuleFile, RuleSet } from '../../../src/udev/rules/rule.ts';
import { neverMatched } from '../../../src/udev/rules/trace.ts';
import type { Coverage } from '../../../src/udev/rules/trace.ts';
import { testClock } from '../fakes.ts';
import { fakeHost, LO, VDA } from './machine.ts';
import type { FakeHost } from './machine.ts';

const handlerFile = (file: string, handler: DeviceRule): RuleFile => ({ file, lines: [{ file, line: 1, tokens: [], effects: ['always'], handler }] });
const textFile = (file: string, text: string): RuleFile => parseRules(text, file).rules;
/** Rules that return what they must not. */
const wrong = (value: unknown): DeviceRule => (() => value) as DeviceRule;

async function run(files: readonly RuleFile[], { devpath = VDA, host = fakeHost(), trace }: { devpath?: string; host?: FakeHost; trace?: TraceEntry[] } = {}): Promise<EventResult> {
  return applyRules({ files }, { device: host.device(devpath), action: 'add' }, host, trace ? { trace } : {});
}

describe('a rule in TypeScript', () => {
  it('assigns as a line of a .rules file does', async () => {
    const host = fakeHost();
    const ours = await run([handlerFile('a', () => ({
      properties: { ID_A: '$kernel %k', ID_N: 5, ID_T: true, '.HIDDEN': 'x' }, symlinks: ['disk/a b', '/dev/./c'], tags: ['seat'], owner: 1, group: 'disk', mode: 0o640,
      run: ['helper %k', { builtin: 'kmod load' }], options: { linkPriority: 5, watch: true, dbPersist: true },
      attributes: { 'queue/scheduler': 'none' }, sysctls: { 'kernel.x': 1 },
    }))], { host });
    const theirs = await run([textFile('a', `ENV{ID_A}="$$kernel %%k", ENV{ID_N}="5", ENV{ID_T}="1", ENV{.HIDDEN}="x", SYMLINK+="disk/a_b /dev/./c", TAG+="seat", OWNER="1", GROUP="disk", \\
MODE="0640", OPTIONS+="link_priority=5", OPTIONS+="watch", OPTIONS+="db_persist"`)]);
    const source = { file: 'a', line: 1 };
    expect(ours).toEqual({ ...theirs, run: [{ type: 'program', command: 'helper %k', source }, { type: 'builtin', command: 'kmod load', source }] });
    expect(host.did).toEqual(['wrote /sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda/queue/scheduler none', 'sysctl kernel.x 1']);
  });

  it('keeps what := closed, and closes', async () => {
    const files = [
      textFile('1', 'MODE:="0600", SYMLINK+="old", TAG+="old", RUN+="old"'),
      handlerFile('2', () => ({ mode: 0o666, group: 6, symlinks: ['new', 'other'], tags: ['new'], run: ['new'], operators: { symlinks: ':=', tags: '=', run: '=', group: ':=' } })),
      textFile('3', 'SYMLINK+="late", GROUP="0"'),
    ];
    const { mode, group, links, tags, run: ran } = await run(files);
    expect({ mode, group, links, tags: [...tags], ran: ran.map(({ command }) => command) }).toEqual({ mode: 0o600, group: 6, links: ['new', 'other'], tags: ['new'], ran: ['new'] });
  });

  it('sees the event as the rules before it left it, and cannot change that', async () => {
    let seen: unknown;
    const result = await run([
      textFile('1', 'ENV{ID_A}="1", SYMLINK+="x", TAG+="t", MODE="0600"'),
      handlerFile('2', (device, { action, properties, symlinks, tags, mode, owner }) => {
        seen = { action, id: properties.get('ID_A'), links: properties.get('DEVLINKS'), symlinks: [...symlinks], tags, mode, owner, size: device.attribute('size'), above: device.parent?.subsystem };
        (properties as Map<string, string>).set('ID_A', 'changed');
        (symlinks as string[]).push('changed');
      }),
    ]);
    expect(seen).toEqual({ action: 'add', id: '1', links: '/dev/x', symlinks: ['x'], tags: ['t'], mode: 0o600, owner: undefined, size: '4096', above: 'virtio' });
    expect({ id: result.properties.get('ID_A'), links: result.links }).toEqual({ id: '1', links: ['x'] });
  });

  it('names interfaces only, with names that can be', async () => {
    expect((await run([handlerFile('a', () => ({ name: 'a b/c' }))], { devpath: LO })).name).toBe('a_b_c');
    expect((await run([handlerFile('a', () => ({ name: 'x' }))])).name).toBeUndefined();
  });

  it('answers without a promise where it gives none', () => {
    const host = fakeHost();
    const files = [handlerFile('a', () => ({ tags: ['t'] }))];
    expect(applyRules({ files }, { device: host.device(VDA), action: 'add' }, host)).not.toBeInstanceOf(Promise);
  });

  it('may answer later; the rules behind it wait', async () => {
    const files = [handlerFile('1', async () => ({ properties: { ID_A: '1' } })), textFile('2', 'ENV{ID_A}=="1", ENV{ID_B}="2"')];
    expect(Object.fromEntries((await run(files)).databaseProperties)).toEqual({ ID_A: '1', ID_B: '2' });
  });

  it('costs only itself when it throws, rejects, or does not answer in time', async () => {
    const host = { ...fakeHost(), system: openSystem({ root: '/nowhere', clock: testClock() }) };
    let aborted: unknown;
    const files = [
      handlerFile('1', () => {
        throw new Error('thrown');
      }),
      handlerFile('2', () => Promise.reject(new Error('rejected'))),
      handlerFile('3', (_device, { signal }) => new Promise(() => signal.addEventListener('abort', () => (aborted = signal.reason)))),
      textFile('4', 'ENV{ID_B}="2"'),
    ];
    expect(Object.fromEntries((await run(files, { host })).databaseProperties)).toEqual({ ID_B: '2' });
    expect(host.said).toEqual([
      'error rule-failed: vda: 1: the rule failed: thrown', 'error rule-failed: vda: 2: the rule failed: rejected',
      'error rule-failed: vda: 3: the rule failed: no answer within 10 s',
    ]);
    expect(aborted).toEqual(new Error('no answer within 10 s'));
  });

  it.each([
    [5, 'what the rule returns is no object: 5'],
    [{ symlink: ['a'] }, 'there is no action \'symlink\''],
    [{ symlinks: 'a' }, 'symlinks is no list: "a"'],
    [{ symlinks: [''] }, 'symlinks is empty'],
    [{ tags: [1] }, 'tags is no text: 1'],
    [{ properties: { DEVNAME: 'x' } }, 'the property DEVNAME is not for rules to set'],
    [{ properties: { 'A B': 'x' } }, 'not the name of a property: "A B"'],
    [{ properties: { A: 'x\nB=1' } }, 'properties.A has a control character: "x\\nB=1"'],
    [{ properties: { A: {} } }, 'properties.A is no text: object'],
    [{ mode: 0o17777 }, 'mode is neither permission bits nor octal digits: 8191'],
    [{ owner: -1 }, 'owner is no name and no id: -1'],
    [{ run: [{ builtin: 'rm -rf' }] }, 'there is no builtin "rm"'],
    [{ run: Array.from({ length: 1001 }, () => 'x') }, 'run has more than 1000 entries'],
    [{ options: { linkPriority: 1.5 } }, 'options.linkPriority is no integer: 1.5'],
    [{ options: { nice: 1 } }, 'there is no option \'nice\''],
    [{ operators: { tags: ':=' } }, 'operators.tags: not an operator for it: ":="'],
    [{ operators: { properties: '=' } }, 'operators.properties: there is no such action'],
  ])('does nothing of %j and says why', async (value, message) => {
    const host = fakeHost();
    const given = typeof value === 'object' ? { tags: ['first'], ...value } : value;
    const { tags, links, databaseProperties } = await run([handlerFile('a', wrong(given))], { host });
    expect([...tags, ...links, ...databaseProperties]).toEqual([]);
    expect(host.said).toEqual([`error rule-failed: vda: a: the rule failed: ${message}`]);
  });

  it('is in the trace, and counts as a line that matched or not', async () => {
    const trace: TraceEntry[] = [];
    const files = [handlerFile('1', () => ({ tags: ['t'], symlinks: ['../x'] })), handlerFile('2', () => undefined), handlerFile('3', wrong({ a: 1 }))];
    const rules: RuleSet = { files };
    const coverage: Coverage = new Map();
    const host = fakeHost();
    await applyRules(rules, { device: host.device(VDA), action: 'add' }, host, { trace, coverage });
    expect(trace).toEqual([
      { file: '1', line: 1, token: 'rule(device, event)', outcome: 'match' },
      { file: '1', line: 1, token: 'TAG+="t"', outcome: 'applied', saw: 't' },
      { file: '1', line: 1, token: 'SYMLINK+="../x"', outcome: 'refused', saw: '../x' },
      { file: '2', line: 1, token: 'rule(device, event)', outcome: 'no-match' },
      { file: '3', line: 1, token: 'rule(device, event)', outcome: 'failed', saw: 'there is no action \'a\'' },
    ]);
    expect(neverMatched(rules, coverage).map(({ file }) => file)).toEqual(['2', '3']);
  });
});

describe('examples/rules', () => {
  it('link the newest backup disk', async () => {
    const { rule } = await import('../../../examples/rules/65-backup-disk.rules.mjs');
    const label = (text: string) => textFile('1', `ENV{ID_FS_LABEL}="${text}"`);
    expect(await run([label('backup-2031'), handlerFile('65-backup-disk.rules.mjs', rule)])).toMatchObject({
      links: ['backup', 'backup/2031'], mode: 0o600, linkPriority: 2031, run: [{ command: 'backup-disk vda' }],
    });
    expect(await run([label('data'), handlerFile('65-backup-disk.rules.mjs', rule)])).toMatchObject({ links: [], run: [] });
  });
});
