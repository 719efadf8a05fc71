import { describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import { udevadmControl } from '../../src/applets/udevadm-control.ts';
import { openSystem } from '../../src/system.ts';
import type { ControlMessage } from '../../src/udev/control-message.ts';
import { openControlServer } from '../../src/udev/control-socket.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { runApplet } from './run-applet.ts';

async function control(...argv: readonly string[]) {
  const root = fixtureRoot({});
  const native = openFakeNative();
  const heard: ControlMessage[] = [];
  await openControlServer(openSystem({ root, native }), { onMessage: (message) => void heard.push(message), onError: () => undefined });
  return { ...(await runApplet(udevadmControl, argv, { root, native })), heard };
}

describe('udevadm control', () => {
  it('sends each message once, in udev\'s order', async () => {
    const { status, heard } = await control('--ping', '-p', 'A=b', '-s', '-S', '--reload-rules', '-m', '7', '-l', 'debug');
    expect([status, heard]).toEqual([0, [
      { type: 'log-level', value: 7 }, { type: 'start-queue' }, { type: 'reload' }, { type: 'env', value: 'A=b' }, { type: 'children-max', value: 7 }, { type: 'ping' },
    ]]);
  });

  it('says that no daemon runs', async () => {
    expect(await runApplet(udevadmControl, ['--ping'], { root: fixtureRoot({}) })).toEqual({ status: 1, stdout: '', stderr: 'Failed to connect to the daemon: No such file or directory\n' });
  });

  it('refuses what it cannot send', async () => {
    for (const argv of [[], ['-p', 'novalue'], ['-l', 'loud'], ['-m', '-1'], ['-t', 'x'], ['word']]) {
      const { status, heard } = await control(...argv);
      expect([status, heard]).toEqual([1, []]);
    }
  });
});
