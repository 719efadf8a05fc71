// initramfs.conf: which modules an initramfs of another tool gets in its bundle, and how far its coldplug goes.

import { ParseError } from '../errors.ts';

export type StageConfig = {
  /** A bundle that is there, with the release in place of %r; undefined to make one. */
  readonly bundle: string | undefined;
  /** As --select and --machine. */
  readonly select: readonly string[];
  readonly machine: readonly string[];
  readonly coldplug: 'goal' | 'all';
  /** Seconds. */
  readonly timeout: number;
};

export const STAGE_DEFAULTS: StageConfig = { bundle: undefined, select: [], machine: [], coldplug: 'goal', timeout: 5 };

const LINES_MAX = 10_000;
const KEYS = ['bundle', 'select', 'machine', 'coldplug', 'timeout'] as const;

/** Lines `key = value`, comments from # on; select and machine are lists of words and may be repeated. Throws ParseError with file and line. */
export function parseStageConfig(text: string, file: string): StageConfig {
  const lines = text.split('\n');
  if (lines.length > LINES_MAX) throw new ParseError({ file, line: LINES_MAX, message: `more than ${LINES_MAX} lines` });
  let config = STAGE_DEFAULTS;
  for (const [index, whole] of lines.entries()) {
    const fail = (message: string): ParseError => new ParseError({ file, line: index + 1, message });
    const content = whole.replace(/(?:^|\s)#.*/, '').trim();
    if (content === '') continue;
    const [, key, value = ''] = /^(\w+)\s*=\s*(.*)$/.exec(content) ?? [];
    if (key === undefined) throw fail(`\`${content}' is no line \`key = value'`);
    if (!KEYS.some((known) => known === key)) throw fail(`${key} is not known: there are ${KEYS.join(', ')}`);
    if (value === '') throw fail(`${key} has no value: leave the line away`);
    if (key === 'bundle') {
      if (!value.startsWith('/')) throw fail(`bundle = ${value}: not an absolute path`);
      config = { ...config, bundle: value };
    } else if (key === 'select' || key === 'machine') {
      config = { ...config, [key]: [...config[key], ...value.split(/\s+/)] };
    } else if (key === 'coldplug') {
      if (value !== 'goal' && value !== 'all') throw fail(`coldplug = ${value}: neither goal nor all`);
      config = { ...config, coldplug: value };
    } else {
      if (!/^\d{1,4}$/.test(value)) throw fail(`timeout = ${value}: not seconds, up to 9999`);
      config = { ...config, timeout: Number(value) };
    }
  }
  return config;
}
