import { describe, expect, it } from 'vitest';

import { LimitError } from '../../../src/errors.ts';
import { parseRules, RULES_FILE_MAX } from '../../../src/udev/rules/parse.ts';
import { RULE_PROBLEMS_MAX } from '../../../src/udev/rules/parse-context.ts';
import type { RuleLine, Token } from '../../../src/udev/rules/rule.ts';
import { GROUPS, readGoldens, USERS } from './verify-goldens.ts';

const NAMES = { resolveUser: (name: string) => USERS.get(name), resolveGroup: (name: string) => GROUPS.get(name) };
const lines = (text: string): readonly RuleLine[] => parseRules(text, 'a.rules').rules.lines;
const tokens = (text: string): readonly Token[] => lines(text)[0]?.tokens ?? [];
const keys = (text: string): string[] => tokens(text).map(({ key }) => key);
const problems = (text: string): string[] => parseRules(text, 'a.rules', NAMES).problems.map(({ line, severity, message }) => `${line} ${severity}: ${message}`);

/** What only we say, or only we keep, on purpose (docs/deviations.md). */
const DIFFERENT_ON_PURPOSE = 9;
const OURS = /^\d+ (?:Unknown builtin command|CONST\{cvm\} is documented)/;

describe('parseRules', () => {
  it('says what udevadm verify of udev 257 says, of every golden', () => {
    const goldens = readGoldens();
    const different = goldens.flatMap(({ rules, messages }) => {
      const ours = parseRules(rules, 'a.rules', { ...NAMES, checks: true }).problems.map(({ line, message }) => `${line} ${message}`);
      return JSON.stringify(ours) === JSON.stringify(messages) ? [] : [{ rules, ours, messages }];
    });
    const isOnPurpose = ({ rules, ours }: { rules: string; ours: readonly string[] }) => ours.some((message) => OURS.test(message)) || /OPTIONS:?="dump"/.test(rules);
    expect(different.filter((each) => !isOnPurpose(each))).toEqual([]);
    expect([goldens.length > 1000, different.length]).toEqual([true, DIFFERENT_ON_PURPOSE]);
  });

  it('gives the whole of a line as data', () => {
    expect(parseRules('# head\nKERNEL=="sd*|sr[0-9]", ENV{A}!="", \\\n  SYMLINK+="disk/$env{A}", GOTO="end"\nLABEL="end"\n', '60-x.rules').rules).toEqual({
      file: '60-x.rules',
      lines: [
        {
          file: '60-x.rules', line: 3, firstLine: 2, goto: 1, effects: ['always', 'node'],
          tokens: [
            { key: 'KERNEL', op: '==', value: 'sd*|sr[0-9]', pattern: { type: 'glob', values: ['sd*', 'sr[0-9]'], globs: [true, true] }, column: 1, line: 2 },
            { key: 'ENV?', op: '!=', attr: 'A', value: '', pattern: { type: 'empty' }, column: 24, line: 2 },
            { key: 'SYMLINK', op: '+=', value: 'disk/$env{A}', format: ['disk/', { type: 'env', argument: 'A' }], column: 3 },
          ],
        },
        { file: '60-x.rules', line: 4, label: 'end', tokens: [], effects: [] },
      ],
    });
  });

  it('sorts the tokens of a line by kind and leaves equals in their order', () => {
    expect(keys('RUN+="a", RUN{builtin}+="kmod", SYMLINK+="b", ENV{a}="1", OPTIONS+="link_priority=1", OPTIONS+="string_escape=none", IMPORT{db}="x", TEST=="t", ATTRS{y}=="1", ATTR{x}=="1", KERNEL=="k"'))
      .toEqual(['KERNEL', 'ATTR?', 'ATTRS', 'TEST', 'IMPORT{db}', 'OPTIONS', 'OPTIONS', 'ENV', 'SYMLINK', 'RUN{builtin}', 'RUN{program}']);
    expect(tokens('OPTIONS="log_level=debug", OPTIONS="nowatch", OPTIONS="db_persist", OPTIONS="string_escape=none", OPTIONS="dump"').map(({ attr }) => attr))
      .toEqual(['dump', 'string_escape', 'db_persist', 'nowatch', 'log_level']);
    expect(tokens('ENV{b}="1", ENV{a}="2", ENV{c}="3"').map(({ attr }) => attr)).toEqual(['b', 'a', 'c']);
    expect(keys('MODE="0600", OWNER="root", GROUP="$env{g}", TAG+="t", OPTIONS="static_node=n", SECLABEL{x}="l"')).toEqual(['OWNER', 'GROUP', 'MODE#', 'TAG', 'static_node', 'SECLABEL']);
  });

  it('says what a line needs of a device for its effects', () => {
    const effects = (text: string) => lines(text)[0]?.effects;
    expect(effects('TAG+="a"')).toEqual(['always']);
    expect(effects('PROGRAM="a", SYMLINK+="a"')).toEqual(['always', 'node']);
    expect(effects('MODE="0600"')).toEqual(['node']);
    expect(effects('NAME="a", OWNER="0"')).toEqual(['node', 'name']);
    expect(effects('OPTIONS="static_node=a", GROUP="0"')).toEqual(['node']);
    expect(effects('OPTIONS="static_node=a"')).toEqual([]);
    expect(effects('GOTO="a"\nLABEL="a"')).toEqual(['always']);
    expect(effects('LABEL="a", KERNEL=="x"')).toEqual([]);
  });

  it('jumps forward, to the first line with the label', () => {
    const text = 'LABEL="a"\nGOTO="a"\nGOTO="b", TAG+="x"\nGOTO="a"\nLABEL="a"\nLABEL="a"\n';
    expect(lines(text).map(({ line, goto }) => [line, goto])).toEqual([[1, undefined], [2, 4], [3, undefined], [4, 4], [5, undefined], [6, undefined]]);
    expect(problems(text)).toEqual(['3 warning: GOTO="b" has no matching label, ignoring.']);
  });

  it('drops lines that have no effect, and counts the places of labels without them', () => {
    expect(lines('GOTO="gone"\nGOTO="a"\nKERNEL=="x"\nLABEL="a"\n').map(({ line, goto }) => [line, goto])).toEqual([[2, 1], [4, undefined]]);
  });

  it('takes numbers where they are known and formats where they are not', () => {
    const parsed = parseRules('OWNER="daemon", GROUP="6", MODE="0660"\nOWNER="$env{x}", MODE="rw"\nOWNER="nosuch", TAG+="x"\n', 'a.rules', NAMES);
    expect(parsed.rules.lines.map(({ tokens: all }) => all.map(({ key, number, format }) => ({ key, ...(number === undefined ? { format } : { number }) })))).toEqual([
      [{ key: 'OWNER#', number: 1 }, { key: 'GROUP#', number: 6 }, { key: 'MODE#', number: 0o660 }],
      [{ key: 'OWNER', format: [{ type: 'env', argument: 'x' }] }, { key: 'MODE', format: ['rw'] }],
      [{ key: 'TAG', format: ['x'] }],
    ]);
    expect(parseRules('OWNER="daemon"', 'a.rules', { resolveNames: 'late' }).rules.lines[0]?.tokens[0]).toMatchObject({ key: 'OWNER', format: ['daemon'] });
    expect(parseRules('OWNER="daemon"', 'a.rules', { ...NAMES, resolveNames: 'never' })).toMatchObject({ rules: { lines: [{ tokens: [], effects: ['node'] }] }, problems: [] });
  });

  it('reads options into names, values and numbers', () => {
    const options = tokens('OPTIONS+="link_priority=-0x10", OPTIONS="log_level=reset", OPTIONS:="watch", OPTIONS+="string_escape=replace", OPTIONS+="static_node=a/b"');
    expect(options.map(({ key, op, attr, value, number }) => [key, op, attr, value, number])).toEqual([
      ['OPTIONS', '=', 'string_escape', 'replace', undefined],
      ['OPTIONS', ':=', 'watch', '', undefined],
      ['OPTIONS', '=', 'link_priority', '-0x10', -16],
      ['OPTIONS', '=', 'log_level', 'reset', -1],
      ['static_node', '=', undefined, 'a/b', undefined],
    ]);
  });

  it('cuts the attribute of what substitutes in it, and only there', () => {
    const formats = tokens('ATTR{$kernel}=="1", ATTR{x}=="1", SYSCTL{%k}="1", ATTR{$kernel}="1", ENV{$kernel}="1"').map(({ key, attr, attrFormat }) => [key, attr, attrFormat]);
    expect(formats).toEqual([
      ['ATTR?', '$kernel', [{ type: 'kernel' }]], ['ATTR?', 'x', undefined], ['ENV', '$kernel', undefined], ['ATTR', '$kernel', undefined],
      ['SYSCTL', '%k', [{ type: 'kernel' }]],
    ]);
  });

  it('takes a program that is a builtin for the builtin, whole names only', () => {
    expect(keys('IMPORT{program}="path_id %p"')).toEqual(['IMPORT{builtin}']);
    expect(keys('IMPORT{program}="k --x"')).toEqual(['IMPORT{program}']);
    expect(keys('RUN{program}+="kmod load"')).toEqual(['RUN{program}']);
  });

  it('keeps what an unknown builtin is asked for, and says so', () => {
    expect(keys('IMPORT{builtin}="factory_reset status"')).toEqual(['IMPORT{builtin}']);
    expect(problems('IMPORT{builtin}="pat"\nRUN{builtin}+="nope"\n')).toEqual([
      '1 warning: Unknown builtin command: pat (older udevs take this for \'path_id\')', '2 warning: Unknown builtin command \'nope\', ignoring.',
    ]);
    expect(parseRules('IMPORT{builtin}="mine"', 'a.rules', { builtins: ['mine'] }).problems).toEqual([]);
  });

  it('takes CONST{cvm} and OPTIONS="dump", of newer udevs', () => {
    expect(problems('CONST{cvm}=="sev", TAG+="a"')).toEqual(['1 warning: CONST{cvm} is documented, but udev up to 257 drops the line.']);
    expect(problems('OPTIONS="dump"')).toEqual([]);
  });

  it('reads escapes and characters beyond ASCII', () => {
    const values = tokens('ENV{a}=e"\\x41\\u00e9\\n\\"", ENV{b}="\\n\\"é", ENV{é}=="x|é"').map(({ attr, value }) => [attr, value]);
    expect(values).toEqual([['é', 'x|é'], ['a', 'Aé\n"'], ['b', '\\n"é']]);
    expect(tokens('KERNEL==i"A", TAG+="x"')[0]).toMatchObject({ ignoreCase: true, value: 'A' });
  });

  it('points at the key that is to blame', () => {
    expect(parseRules('  KERNEL=="a", \\\n   FOO="b"\n KERNEL=="a", TAG\n', 'a.rules').problems).toEqual([
      { file: 'a.rules', line: 2, column: 4, severity: 'error', message: 'Invalid key \'FOO\'.' },
      { file: 'a.rules', line: 3, column: 15, severity: 'error', message: 'Invalid key/value pair, ignoring.' },
    ]);
    expect(parseRules('FOO="a", \\\n TAG+="b"\n', 'a.rules').problems).toEqual([
      { file: 'a.rules', line: 2, column: 1, columnLine: 1, severity: 'error', message: 'Invalid key \'FOO\'.' },
    ]);
  });

  it('drops a file with a line that is too long, and says what came before', () => {
    expect(parseRules(`FOO="a"\nTAG+="b"\n#${'x'.repeat(16383)}\nBAR="a"\n`, 'a.rules')).toEqual({
      rules: { file: 'a.rules', lines: [] },
      problems: [
        { file: 'a.rules', line: 1, column: 1, severity: 'error', message: 'Invalid key \'FOO\'.' },
        { file: 'a.rules', line: 3, severity: 'error', message: 'No buffer space available' },
      ],
      isDropped: true,
    });
  });

  it('refuses more than a rules file can have, and ends a list of problems without end', () => {
    expect(() => parseRules(new Uint8Array(RULES_FILE_MAX + 1), 'a.rules')).toThrow(LimitError);
    const { problems: found } = parseRules('=\n'.repeat(RULE_PROBLEMS_MAX * 2), 'a.rules');
    expect(found.length).toBe(RULE_PROBLEMS_MAX);
    expect(found.at(-1)?.message).toBe('Too many problems, the rest is not listed.');
  });

  it('takes time in proportion for the worst lines that there are', () => {
    const size = 1 << 20;
    for (const line of ['x\\\n', '\\\n', 'GOTO="a"\n', '$env{', `ENV{x}="${'$env{a}'.repeat(2000)}"\n`, `${'A=="",'.repeat(2700)}\n`]) {
      const before = process.cpuUsage();
      parseRules(line.repeat(Math.ceil(size / line.length)), 'a.rules', { ...NAMES, checks: true });
      expect(process.cpuUsage(before).user, line.slice(0, 20)).toBeLessThan(20_000_000);
    }
  });

  it('only finds problems in what was cut off anywhere', () => {
    const sample = Buffer.from(`${SAMPLE}${readGoldens().slice(0, 40).map(({ rules }) => rules).join('')}`);
    for (let length = 0; length <= sample.length; length++) expectSound(sample.subarray(0, length));
  });

  it('only finds problems in what was mangled', () => {
    const sample = Buffer.from(SAMPLE);
    let seed = 4242;
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * limit);
    };
    for (let round = 0; round < 4000; round++) {
      const mangled = Buffer.from(sample);
      for (let count = random(8) + 1; count > 0; count--) mangled[random(mangled.length)] = random(3) === 0 ? random(256) : '"{}=+-:!,\\ \n\r\0$%eix|*'.charCodeAt(random(22));
      expectSound(mangled);
    }
  });
});

const SAMPLE = `# é
ACTION=="remove", GOTO="end"
SUBSYSTEM=="block", KERNEL!="loop*|ram[0-9]", ENV{DEVTYPE}=="?*", IMPORT{builtin}="blkid", \\
  # inside
  SYMLINK+="disk/by-uuid/$env{ID_FS_UUID_ENC} %k%n", OPTIONS+="link_priority=-100", TEST{0644}=="[module/sg]"
PROGRAM=="/bin/sh -c 'echo $$ %%'", RESULT!="a|b", ATTR{block/*/uevent}="change", RUN{builtin}+="kmod load $env{MODALIAS}"
OWNER="root", GROUP="disk", MODE="0660", ENV{x}=e"\\x41\\u00e9", KERNEL==i"SD*", SECLABEL{selinux}+="$result{1+}"
LABEL="end"
`;

/** Whatever the text: jumps lead forward to lines that are there, and tokens are sorted. */
function expectSound(bytes: Uint8Array): void {
  const { rules, problems: found } = parseRules(bytes, 'a.rules', { ...NAMES, checks: true });
  for (const [place, { goto, label }] of rules.lines.entries()) {
    if (goto !== undefined && !(goto > place && rules.lines[goto]?.label !== undefined)) throw new Error(`line ${place} (${label ?? ''}) goes to ${goto}`);
  }
  for (const { line } of found) if (line < 1) throw new Error(`a problem in line ${line}`);
}
