import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const top = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

describe('examples/why.mjs', () => {
  it('tells which module drives a device of the captured machine', () => {
    const modalias = 'pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00';
    const { status, stdout, stderr } = spawnSync(process.execPath, ['examples/why.mjs', modalias, join(top, 'examples/q35'), '6.12.117+deb12-amd64'], { cwd: top, encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({
      status: 0, stderr: '',
      stdout: `e1000e: load, by pci:v00008086d000010D3sv*sd*bc*sc*i*\n  insmod e1000e: alias ${modalias}\n`,
    });
  });
});

describe('examples/watch.mjs', () => {
  it('listens, and ends when it is interrupted', async () => {
    const child = spawn(process.execPath, ['examples/watch.mjs'], { cwd: top, stdio: ['ignore', 'ignore', 'pipe'] });
    const [said] = (await once(child.stderr, 'data')) as [Buffer];
    expect(said.toString()).toMatch(/^listening, receive buffer \d+ bytes\n/);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
