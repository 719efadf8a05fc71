import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { ProbeResult } from '../../src/kmod/probe.ts';
import { openSystem } from '../../src/system.ts';
import { openModprobeServer, parseHelperRequest } from '../../src/udev/modprobe-socket.ts';
import { fixtureRoot, recordingLog } from '../fixture-root.ts';
import { gate } from './fakes.ts';

const NOTHING: ProbeResult = { target: '', goals: [], warnings: [], ms: 0 };
const LOADED: ProbeResult = {
  ...NOTHING, goals: [{ module: 'xfs', reason: { kind: 'alias', from: 'fs-xfs' }, status: 'load', steps: [], outcome: 'inserted' }],
};

function words(...list: readonly string[]): Buffer {
  return Buffer.from(list.map((word) => `${word}\0`).join(''));
}

async function machine(answer: (alias: string) => Promise<ProbeResult | undefined>) {
  const native = openFakeNative();
  const log = recordingLog();
  const asked: string[] = [];
  const server = await openModprobeServer(openSystem({ root: fixtureRoot({}), log, native }), {
    requestForKernel: (alias) => {
      asked.push(alias);
      return answer(alias);
    },
  });
  const ask = (data: Buffer, uid = 0): number[] => {
    const heard: number[] = [];
    const connection = native.servers[0]?.connect({ onMessage: (message) => heard.push(...message), onEnd: () => undefined }, { uid, pid: 42 });
    connection?.send(data);
    return heard;
  };
  return { server, log, asked, ask, native };
}

const settled = (): Promise<void> => new Promise((resolve) => {
  setImmediate(resolve);
});

describe('the socket of the kernel\'s helper', () => {
  it('says that it is at it, and then how it ended', async () => {
    const load = gate();
    const { server, asked, ask, native } = await machine(async (alias) => {
      if (alias === 'fs-xfs') await load.opened;
      return alias === 'fs-xfs' ? LOADED : NOTHING;
    });
    const [xfs, none, ping] = [ask(words('-q', '--', 'fs-xfs')), ask(words('-q', '--', 'fs-none')), ask(words('--ping'))];
    await settled();
    expect([xfs, none, ping]).toEqual([[255], [255, 1], [255, 0]]);
    load.open();
    await settled();
    expect([xfs, asked]).toEqual([[255, 0], ['fs-xfs', 'fs-none']]);
    expect(native.calls[0]).toMatchObject({ call: 'openSeqpacketServer', mode: 0o600 });
    await server.close();
  });

  it('ends as kmod does: of several modules the last one decides', async () => {
    const goal = (outcome: 'inserted' | 'failed' | 'denied' | 'live' | 'builtin' | 'blacklisted') => ({ module: 'x', reason: { kind: 'alias', from: 'a' }, status: 'load', steps: [], outcome }) as const;
    const results = new Map<string, ProbeResult>([
      ['first-fails', { ...NOTHING, goals: [goal('failed'), goal('inserted')] }], ['last-fails', { ...NOTHING, goals: [goal('inserted'), goal('failed')] }],
      ...(['denied', 'live', 'builtin', 'blacklisted'] as const).map((outcome) => [outcome, { ...NOTHING, goals: [goal(outcome)] }] as const),
    ]);
    const { server, ask } = await machine(async (alias) => results.get(alias));
    const heard = [...results.keys(), 'no-plan'].map((alias) => ({ alias, answers: ask(words('-q', '--', alias)) }));
    await settled();
    expect(heard.map(({ alias, answers }) => `${alias} ${answers.at(-1)}`)).toEqual(['first-fails 0', 'last-fails 1', 'denied 1', 'live 0', 'builtin 0', 'blacklisted 0', 'no-plan 1']);
    await server.close();
  });

  it('goes on with the load of a helper that has gone away, and gives its place to another', async () => {
    const load = gate();
    const { server, native, asked, ask, log } = await machine(async () => {
      await load.opened;
      return LOADED;
    });
    const gone = Array.from({ length: 50 }, (_, index) => {
      const heard: number[] = [];
      const connection = native.servers[0]?.connect({ onMessage: (message) => heard.push(...message), onEnd: () => undefined }, { uid: 0, pid: 42 });
      connection?.send(words('-q', '--', `fs-${index}`));
      return { connection, heard };
    });
    await settled();
    for (const { connection } of gone) await connection?.close();
    await settled();
    const after = ask(words('-q', '--', 'fs-after'));
    await settled();
    load.open();
    await settled();
    expect({ asked: asked.length, after, gone: gone.map(({ heard }) => heard.join()), wrong: log.lines.filter((line) => !line.startsWith('debug')) })
      .toEqual({ asked: 51, after: [255, 0], gone: gone.map(() => '255'), wrong: [] });
    await server.close();
  });

  it('refuses what is no request, and hears one request of a connection only', async () => {
    const { server, native, asked, ask, log } = await machine(async () => LOADED);
    const refused = ask(words('-q', '--', '../x'));
    const connection = native.servers[0]?.connect({ onMessage: () => undefined, onEnd: () => undefined }, { uid: 0, pid: 42 });
    for (const alias of ['fs-a', 'fs-b']) connection?.send(words('-q', '--', alias));
    await settled();
    expect({ refused, asked, wrong: log.lines.filter((line) => !line.startsWith('debug')) })
      .toEqual({ refused: [255, 1], asked: ['fs-a'], wrong: ['warn modprobe-request: request of process 42 refused: -q?--?../x?'] });
    await server.close();
  });

  it('declines the fifty-first at one time', async () => {
    const load = gate();
    const { server, ask } = await machine(async () => {
      await load.opened;
      return LOADED;
    });
    const heard = Array.from({ length: 51 }, (_, index) => ask(words('-q', '--', `fs-${index}`)));
    await settled();
    expect(heard.map((each) => each.at(-1))).toEqual([...Array.from({ length: 50 }, () => 255), 254]);
    load.open();
    await settled();
    expect(heard.map((each) => each.at(-1))).toEqual([...Array.from({ length: 50 }, () => 0), 254]);
    await server.close();
  });

  it('answers root only, and has the CLI try what fails here', async () => {
    const { server, log, asked, ask } = await machine(() => Promise.reject(new Error('no index')));
    expect(ask(words('-q', '--', 'fs-xfs'), 1000)).toEqual([]);
    const mine = ask(words('-q', '--', 'fs-xfs'));
    await settled();
    expect([mine, asked]).toEqual([[255, 254], ['fs-xfs']]);
    expect(log.lines.filter((line) => !line.startsWith('debug'))).toEqual(['warn modprobe-peer: process 42 of user 1000 may not ask for modules', 'error modprobe-failed: fs-xfs: no index']);
    await server.close();
  });
});

describe('parseHelperRequest', () => {
  it('takes the names that kernels ask for', () => {
    for (const alias of ['fs-xfs', 'net-pf-2-proto-132-type-1', 'crypto-hmac(sha256)', 'hdaudio:v00001AF4r00100001a01', 'char-major-10-237', 'a,b_c.d', 'x'.repeat(255)]) {
      expect(parseHelperRequest(words('-q', '--', alias))).toEqual({ ping: false, alias });
    }
  });

  it('takes nothing else', () => {
    const bad = [words('-q', '--', '-r'), words('-q', '--', '/etc/x'), words('-q', '--', 'a b'), words('-q', '--', ''), words('-q', '--', 'x'.repeat(256)),
      words('-q', '--', 'a', 'b'), words('-r', '--', 'a'), Buffer.from('-q\0--\0a'), Buffer.alloc(0), Buffer.from('-q\0--\0\xff\0', 'latin1')];
    expect(bad.map(parseHelperRequest)).toEqual(bad.map(() => undefined));
  });
});
