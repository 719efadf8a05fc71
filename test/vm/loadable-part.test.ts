import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { loadablePart } from '../../src/vm/loadable-part.ts';

describe('loadablePart', () => {
  const whole = readFileSync(process.execPath);

  it('leaves of Node what runs, and of that all', () => {
    const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-part-'));
    try {
      const part = loadablePart(whole);
      expect(part.length).toBeLessThanOrEqual(whole.length);
      expect(Buffer.compare(loadablePart(part), part)).toBe(0);
      const path = join(scratch, 'node');
      writeFileSync(path, part);
      chmodSync(path, 0o755);
      const script = 'console.log(JSON.stringify([process.versions, require("zlib").crc32?.("a"), new Intl.NumberFormat("en").format(1000)]))';
      const [cut, uncut] = [path, process.execPath].map((node) => spawnSync(node, ['-e', script], { encoding: 'utf8' }));
      expect(cut).toMatchObject({ status: 0, stdout: uncut?.stdout, stderr: uncut?.stderr });
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });

  it('gives back what is no program, or has its end elsewhere than it says', () => {
    const damaged = Buffer.from(whole.subarray(0, 4096));
    damaged.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 32);
    for (const bytes of [Buffer.from(''), Buffer.from('#!/bin/sh\n'.repeat(20)), whole.subarray(0, 20), whole.subarray(0, 4096), damaged]) {
      expect(loadablePart(bytes)).toBe(bytes);
    }
  });
});
