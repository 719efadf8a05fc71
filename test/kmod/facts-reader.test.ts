import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it, describe, onTestFinished } from 'vitest';

import { UnsupportedError } from '../../src/errors.ts';
import { FactsReader } from '../../src/kmod/facts-reader.ts';
import { factsOf } from '../../src/kmod/module-facts.ts';
import { buildModule } from './elf-builder.ts';

describe('FactsReader', () => {
  it('decompresses by itself where nothing native can be loaded', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tsmodprobe-facts-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'a.ko.gz');
    writeFileSync(path, gzipSync(buildModule({ modinfo: ['alias=x'] })));
    const reader = new FactsReader({ native: () => Promise.reject(new UnsupportedError('no koffi')) });
    const outcome = await reader.read(path);
    expect('record' in outcome ? factsOf(outcome.record, path).values('alias') : outcome).toEqual(['x']);
  });
});
