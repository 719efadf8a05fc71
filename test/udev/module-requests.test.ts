// Requests for modules: one load in flight for each, and the account of who asked.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openModuleRequests } from '../../src/udev/module-requests.ts';
import type { ModuleRequest } from '../../src/udev/module-requests.ts';
import { openWalkAccount } from '../../src/udev/walk-account.ts';
import { recordingLog } from '../fixture-root.ts';
import { fakeKmod, gate, makeRoot, testSystem } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

let root: TemporaryRoot;
beforeEach(() => {
  root = makeRoot();
});
afterEach(() => root.remove());

describe('openModuleRequests', () => {
  it('makes one load of many requests for a name at a time, and answers all', async () => {
    const load = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }, () => load.opened);
    const log = recordingLog();
    const lines = log.records;
    const told: string[] = [];
    const requests = openModuleRequests(testSystem(root.path, { log }), kmod, ({ name, devpath }) => told.push(`${name} ${devpath}`));
    const asked = ['/1', '/2', '/3'].map((devpath) => requests.request('x:a', devpath));
    expect(requests.loading()).toEqual(['x:a']);
    let idle = false;
    const end = requests.idle().then(() => {
      idle = true;
    });
    expect(idle).toBe(false);
    load.open();
    expect((await Promise.all(asked)).map((result) => result?.goals[0]?.outcome)).toEqual(['inserted', 'inserted', 'inserted']);
    await end;
    expect({ executed: kmod.executed, told, loading: requests.loading(), logged: lines.map(({ message }) => message) })
      .toEqual({ executed: ['x:a'], told: ['x:a /1', 'x:a /2', 'x:a /3'], loading: [], logged: ['a loaded for /1 (12 ms)'] });
  });

  it('asks once for a name while a walk is worked off, and again afterwards', async () => {
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] });
    const requests = openModuleRequests(testSystem(root.path), kmod);
    requests.beginWalk();
    for (const devpath of ['/1', '/2']) await requests.request('x:a', devpath);
    requests.endWalk();
    await requests.request('x:a', '/3');
    expect(kmod.executed).toEqual(['x:a', 'x:a']);
  });

  it('remembers what nothing knows until a reload, and not what was asked before one', async () => {
    const kmod = fakeKmod({});
    const requests = openModuleRequests(testSystem(root.path), kmod);
    for (const devpath of ['/1', '/2']) expect((await requests.request('x:none', devpath))?.goals).toEqual([]);
    expect(kmod.executed).toEqual(['x:none']);
    requests.reload();
    const asked = requests.request('x:none', '/3');
    requests.reload();
    await asked;
    await requests.request('x:none', '/4');
    expect(kmod.executed).toEqual(['x:none', 'x:none', 'x:none']);
  });

  it('answers nothing, and says why, where no plan can be made', async () => {
    const log = recordingLog();
    const lines = log.records;
    const requests = openModuleRequests(testSystem(root.path, { log }), { ...fakeKmod({}), plan: () => { throw new Error('no index'); } });
    expect(await requests.request('x:\n', '/1')).toBeUndefined();
    expect(lines).toEqual([{ level: 'error', code: 'plan-failed', message: 'x:?: no index' }]);
  });
});

describe('requestForKernel', () => {
  it('waits for no request of a device: that may be the one whose module asks', async () => {
    const load = gate();
    const kmod = fakeKmod({ 'x:a': [{ module: 'a' }] }, () => (kmod.executed.length === 1 ? load.opened : undefined));
    const log = recordingLog();
    const told: string[] = [];
    const requests = openModuleRequests(testSystem(root.path, { log }), kmod, ({ name, devpath }) => told.push(`${name} ${devpath}`));
    const device = requests.request('x:a', '/1');
    expect((await requests.requestForKernel('x:a'))?.goals[0]?.outcome).toBe('inserted');
    load.open();
    await device;
    expect({ told, executed: kmod.executed, blacklists: kmod.planned.map(({ useBlacklist }) => useBlacklist), loading: requests.loading() })
      .toEqual({ told: ['x:a request_module', 'x:a /1'], executed: ['x:a', 'x:a'], blacklists: ['all', undefined], loading: [] });
  });

  it('answers nothing where no plan can be made', async () => {
    const log = recordingLog();
    const requests = openModuleRequests(testSystem(root.path, { log }), { ...fakeKmod({}), plan: () => { throw new Error('no index'); } });
    expect([await requests.requestForKernel('fs-x'), log.lines]).toEqual([undefined, ['error plan-failed: fs-x: no index']]);
  });
});

describe('openWalkAccount', () => {
  it('counts names, devices and modules', async () => {
    const account = openWalkAccount();
    const seen: ModuleRequest[] = [];
    const requests = openModuleRequests(testSystem(root.path), fakeKmod({ 'x:a': [{ module: 'a' }], 'x:b': [{ module: 'b' }] }), (request) => {
      seen.push(request);
      account.add(request);
    });
    for (const [name, devpath] of [['x:a', '/1'], ['x:b', '/2'], ['x:a', '/3']] as const) await requests.request(name, devpath);
    expect(account.progress(9)).toEqual({ devices: 9, modaliases: 2, loaded: 2 });
    expect(account.summary({ devices: 3, ms: 5, settled: true })).toEqual({
      devices: 3, modaliases: 2, rounds: [], settled: true, ms: 5,
      aliases: [{ modalias: 'x:a', devices: ['/1', '/3'], result: seen[0]?.result }, { modalias: 'x:b', devices: ['/2'], result: seen[1]?.result }],
    });
  });
});
