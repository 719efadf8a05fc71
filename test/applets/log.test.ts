// The logs of programs.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { kmsgLog, logLevelOf, stderrLog } from '../../src/applets/log.ts';
import { recordingLog } from '../fixture-root.ts';
import { makeRoot } from '../udev/fakes.ts';

describe('stderrLog', () => {
  it('prints records down to its level, one line each', () => {
    let text = '';
    const log = stderrLog({ program: 'tsudevd', level: 'notice', write: (chunk) => (text += chunk) });
    log.error({ code: 'x', message: 'one\nline\u001b[31m' });
    log.warn({ code: 'x', message: 'two' });
    log.notice({ code: 'x', message: 'three' });
    log.info({ code: 'x', message: 'four' });
    expect(text).toBe('tsudevd: ERROR: one?line?[31m\ntsudevd: WARNING: two\ntsudevd: NOTICE: three\n');
  });
});

describe('kmsgLog', () => {
  it('writes a record with the priority of a daemon', () => {
    const root = makeRoot();
    const path = join(root.path, 'dev/kmsg');
    writeFileSync(path, '');
    const log = kmsgLog({ path, program: 'tsudevd', pid: 42, level: 'info', fallback: recordingLog() });
    log.info({ code: 'x', message: 'e1000e loaded' });
    expect(readFileSync(path, 'utf8')).toBe('<30>tsudevd[42]: e1000e loaded');
    log.error({ code: 'x', message: 'x'.repeat(2000) });
    expect(readFileSync(path, 'utf8')).toBe(`<27>tsudevd[42]: ${'x'.repeat(943)}`);
    root.remove();
  });

  it('makes no file where there is no device, and falls back', () => {
    const root = makeRoot();
    const fallback = recordingLog();
    const lines = fallback.records;
    kmsgLog({ path: join(root.path, 'dev/kmsg'), program: 'tsudevd', pid: 42, level: 'info', fallback }).warn({ code: 'x', message: 'text' });
    expect(lines.map(({ level, code }) => `${level} ${code}`)).toEqual(['warn x', 'debug kmsg-failed']);
    expect(() => readFileSync(join(root.path, 'dev/kmsg'))).toThrow('ENOENT');
    root.remove();
  });
});

describe('logLevelOf', () => {
  it('knows our names and those of syslog', () => {
    expect(['error', 'err', 'warning', 'debug', 'toString', ''].map(logLevelOf)).toEqual(['error', 'error', 'warn', 'debug', undefined, undefined]);
  });
});
