// The journal of decisions: what it keeps over a restart, what it leaves out, and how it stays small.

import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Decision } from '../../src/udev/decision-record.ts';
import { appendDecision, decisionsPath, openDecisionJournal, readDecisions } from '../../src/udev/decisions.ts';
import { openModuleRequests } from '../../src/udev/module-requests.ts';
import { fakeKmod, makeRoot, testSystem, type TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

const decision = (name: string, more: Partial<Decision> = {}): Decision => ({
  name, devpath: `/devices/${name}`, at: 1, ms: 2, modules: [{ module: name, reason: { kind: 'alias', from: name }, outcome: 'inserted' }], loads: [], ...more,
});
const names = (system: Parameters<typeof readDecisions>[0]): string[] => readDecisions(system).map(({ name }) => name);

describe('the journal of decisions', () => {
  it('is written on flush, read back whole, and continued by the next daemon', () => {
    const system = testSystem(root.path);
    expect(readDecisions(system)).toEqual([]);
    const failure = { code: 'ENOEXEC', errno: 8, syscall: 'finit_module', text: 'Exec format error', kernel: ['a: wrong'] };
    const first = decision('a', {
      rule: { file: '/r', line: 3 }, loads: [{ module: 'a', path: '/a.ko', at: 1, waitMs: 2, readMs: 3, decompressMs: 4, initMs: 5, outcome: 'failed', failure }],
    });
    const journal = openDecisionJournal(system);
    journal.note(first);
    journal.flush();
    expect(readDecisions(system)).toEqual([first]);
    expect(statSync(decisionsPath(system)).mode & 0o777).toBe(0o600);
    const next = openDecisionJournal(system);
    next.note(decision('b'));
    next.flush();
    expect(names(system)).toEqual(['a', 'b']);
  });

  it('leaves out what it said already, also before a restart, and keeps every load', () => {
    const system = testSystem(root.path);
    for (let i = 0; i < 2; i++) {
      const journal = openDecisionJournal(system);
      journal.note(decision('a'));
      journal.note(decision('a', { at: 9, modules: [{ module: 'a', reason: { kind: 'alias', from: 'a' }, outcome: 'live' }] }));
      journal.note(decision('a', { at: 10 + i, loads: [{ module: 'a', path: '', at: 1, waitMs: 0, readMs: 0, decompressMs: 0, initMs: 0, outcome: 'inserted' }] }));
      journal.flush();
    }
    expect(readDecisions(system).map(({ at }) => at)).toEqual([1, 10, 11]);
  });

  it('keeps the newest lines within its limit', () => {
    const system = testSystem(root.path);
    const journal = openDecisionJournal(system, 2000);
    for (let i = 0; i < 100; i++) {
      journal.note(decision(`module${i}`));
      journal.flush();
      expect(statSync(decisionsPath(system)).size).toBeLessThanOrEqual(2000);
    }
    const kept = names(system);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => `module${100 - kept.length + i}`));
    expect(kept.length).toBeGreaterThan(3);
  });

  it('passes over lines that are none', () => {
    const system = testSystem(root.path);
    const journal = openDecisionJournal(system);
    journal.note(decision('a'));
    journal.flush();
    const path = decisionsPath(system);
    writeFileSync(path, `{"name":"x"}\nnull\n[]\nnot json\n${readFileSync(path, 'utf8')}{"name":"cut`);
    expect(names(system)).toEqual(['a']);
  });

  it('is told by the requests: who asked, by which rule, and what that loaded', async () => {
    const system = testSystem(root.path);
    const journal = openDecisionJournal(system);
    const requests = openModuleRequests(system, fakeKmod({ 'x:a': [{ module: 'a', needs: ['b'] }], 'fs-c': [{ module: 'c' }] }), (request) => journal.note(request.decision));
    await requests.request('x:a', '/devices/1', { file: '/r', line: 7 });
    await requests.requestForKernel('fs-c');
    journal.flush();
    expect(readDecisions(system).map(({ name, devpath, rule, modules }) => ({ name, devpath, rule, modules: modules.map(({ module }) => module) }))).toEqual([
      { name: 'x:a', devpath: '/devices/1', rule: { file: '/r', line: 7 }, modules: ['b', 'a'] },
      { name: 'fs-c', devpath: 'request_module', rule: undefined, modules: ['c'] },
    ]);
  });
});

describe('appendDecision', () => {
  it('adds a line where there is a /run/udev, and makes none', () => {
    const system = testSystem(root.path);
    appendDecision(system, decision('a'));
    expect(readDecisions(system)).toEqual([]);
    mkdirSync(join(root.path, 'run/udev'), { recursive: true });
    appendDecision(system, decision('a', { devpath: 'modprobe' }));
    appendDecision(system, decision('b'));
    expect(names(system)).toEqual(['a', 'b']);
  });
});
