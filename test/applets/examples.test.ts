import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { formatCpio, S_IFREG } from '../../src/image/cpio.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { buildModule } from '../kmod/elf-builder.ts';

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

describe('examples/load.mjs', () => {
  it('says what would be loaded, and why', () => {
    expect(example('load.mjs', 'e1000e', join(top, 'examples/q35'), '6.12.117+deb12-amd64')).toBe('0. insmod e1000e (requested e1000e)\n');
    expect(example('load.mjs', 'nothing', join(top, 'examples/q35'), '6.12.117+deb12-amd64')).toBe('nothing is called nothing\n');
  });
});

describe('examples/image.mjs', () => {
  it('reads an archive whose indexes are computed', () => {
    const directory = 'lib/modules/6.12.0-test/kernel';
    const modules = { sun: { exports: [{ name: 'shine', crc: 1 }] }, moon: { needs: [{ name: 'shine' }] } };
    const files = Object.entries(modules).map(([name, spec]) => ({ path: `${directory}/${name}.ko`, mode: S_IFREG | 0o644, data: buildModule(spec) }));
    const root = fixtureRoot({ 'modules.cpio': formatCpio(files) });
    const [sun = 0, moon = 0] = files.map(({ data }) => data.length);
    expect(example('image.mjs', join(root, 'modules.cpio'), '6.12.0-test')).toBe(`2 modules of 6.12.0-test
moon, ${moon} bytes, not compressed, needs sun
sun, ${sun} bytes, not compressed
`);
  });
});

describe('examples/test-rule.mjs', () => {
  it('passes', () => {
    // The runner of Node tells a test that runs in another one by this variable.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=tap', 'examples/test-rule.mjs'], { cwd: top, encoding: 'utf8', env });
    expect({ status, counts: stdout.match(/^# (?:pass|fail) \d+$/gm) }).toEqual({ status: 0, counts: ['# pass 2', '# fail 0'] });
  });
});

describe('the examples', () => {
  it('are below 40 lines, and each is tested here', () => {
    const examples = readdirSync(join(top, 'examples')).filter((name) => name.endsWith('.mjs'));
    const here = readFileSync(fileURLToPath(import.meta.url), 'utf8');
    expect(examples.filter((name) => !here.includes(`describe('examples/${name}'`))).toEqual([]);
    expect(examples.filter((name) => readFileSync(join(top, 'examples', name), 'utf8').split('\n').length > 40)).toEqual([]);
  });
});

function example(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`examples/${words[0]}`, ...words.slice(1)], { cwd: top, encoding: 'utf8', env: { ...process.env, XDG_CACHE_HOME: fixtureRoot({}) } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

describe('examples/watch.mjs', () => {
  it('listens, and ends when it is interrupted', async () => {
    const child = spawn(process.execPath, ['examples/watch.mjs'], { cwd: top, stdio: ['ignore', 'ignore', 'pipe'] });
    const [said] = (await once(child.stderr, 'data')) as [Buffer];
    expect(said.toString()).toMatch(/^listening, receive buffer \d+ bytes\n/);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
