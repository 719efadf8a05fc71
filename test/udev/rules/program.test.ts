// What is left out of a program must make no difference: rules with and without it come to the same.

import { describe, expect, it } from 'vitest';

import { applyRules } from '../../../src/udev/rules/apply.ts';
import { GATE_ALWAYS } from '../../../src/udev/rules/compile.ts';
import { startEvent } from '../../../src/udev/rules/event-state.ts';
import { parseRules } from '../../../src/udev/rules/parse.ts';
import { programOf } from '../../../src/udev/rules/program.ts';
import type { RuleSet } from '../../../src/udev/rules/rule.ts';
import { random } from '../../random.ts';
import { DEVICES, fakeHost, LO, VDA } from './machine.ts';

const rulesOf = (text: string): RuleSet => ({ files: text.split('\n---\n').map((part, i) => parseRules(part, `${10 + i}.rules`).rules) });

/** Of each line in the program for an event: its number, how many tests are left, and the number of the line that follows a match. */
function programFor(text: string, devpath = VDA, action = 'add') {
  const host = fakeHost();
  const program = programOf(rulesOf(text), startEvent({ device: host.device(devpath), action }, host, undefined), GATE_ALWAYS, false);
  return program.map(({ line, steps, next }) => [line.line, steps.length, program[next]?.line.line]);
}

describe('programOf', () => {
  it('leaves out what action and subsystem rule out, and no longer asks for what they grant', () => {
    expect(programFor(`ACTION=="remove", ENV{A}="1"
SUBSYSTEM=="net", ENV{B}="1"
ACTION!="remove", SUBSYSTEM=="block|scsi", KERNEL=="vd*", ENV{C}="1"
KERNEL=="sd*", ENV{D}="1"`)).toEqual([[3, 2, 4], [4, 2, undefined]]);
  });

  it('follows a GOTO that nothing guards any more, but for lines that another leads to', () => {
    const text = `ENV{X}=="1", GOTO="middle"
SUBSYSTEM=="block", GOTO="end"
ENV{A}="1"
LABEL="middle", ENV{B}="1"
ENV{C}="1"
LABEL="end"
---
SUBSYSTEM!="net", GOTO="net_end"
ENV{D}="1"
LABEL="net_end"
ENV{E}="1"`;
    expect(programFor(text)).toEqual([[1, 1, 4], [2, 0, 4], [4, 1, 5], [5, 1, 4], [4, 1, undefined]]);
    expect(programFor(text, LO)).toEqual([[1, 1, 4], [3, 1, 4], [4, 1, 5], [5, 1, 2], [2, 1, 4], [4, 1, undefined]]);
  });

  it('is made once for a kind of event', () => {
    const host = fakeHost();
    const rules = rulesOf('ENV{A}="1"');
    const state = startEvent({ device: host.device(VDA), action: 'add' }, host, undefined);
    expect(programOf(rules, state, GATE_ALWAYS, false)).toBe(programOf(rules, state, GATE_ALWAYS, false));
  });

  it('comes to the same as all lines, for random rules', async () => {
    const below = random(1);
    const pick = (items: readonly string[]): string => items[below(items.length)] ?? '';
    const match = () => pick(['ACTION=="add"', 'ACTION!="remove"', 'ACTION=="change|remove"', 'SUBSYSTEM=="block"', 'SUBSYSTEM!="block"', 'SUBSYSTEM=="net|pci"', 'SUBSYSTEM=="v*"',
      'KERNEL=="vd*"', 'KERNEL!="lo"', 'ENV{A}=="1"', 'ENV{B}!="?*"', 'SUBSYSTEMS=="pci"', 'DRIVERS=="virtio*"', 'ATTR{size}=="4096"']);
    const effect = (line: number) => pick([`ENV{A}="${line}"`, 'ENV{A}="1"', 'ENV{B}="$env{A}-$id"', 'ENV{B}=""', `TAG+="t${line}"`, `SYMLINK+="l${line}"`, 'MODE="0600"', `NAME="n${line}"`]);
    const fileOf = (): string => {
      const lines = 3 + below(20);
      return Array.from({ length: lines }, (_, line) => {
        const words = Array.from({ length: below(3) }, match);
        if (below(3) > 0) words.push(effect(line));
        if (below(3) === 0) words.push(`GOTO="l${line + 1 + below(6)}"`);
        return [...words, `LABEL="l${line}"`].join(', ');
      }).join('\n');
    };
    const events = DEVICES.flatMap(({ devpath }) => ['add', 'change', 'remove'].map((action) => ({ devpath, action })));
    for (let round = 0; round < 200; round++) {
      const text = Array.from({ length: 1 + below(3) }, fileOf).join('\n---\n');
      const rules = rulesOf(text);
      for (const { devpath, action } of events) {
        const host = fakeHost();
        const event = { device: host.device(devpath), action };
        expect(await applyRules(rules, event, host), `${action} ${devpath}\n${text}`).toEqual(await applyRules(rules, event, host, { coverage: new Map() }));
      }
    }
  });
});
