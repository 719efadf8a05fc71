// Small rules files and what udev 257's `udevadm verify` says of each: test/oracle/verify.test.ts asks it, and writes the file anew.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Golden = {
  readonly category: string;
  readonly rules: string;
  /** `LINE MESSAGE`, in udev's order. */
  readonly messages: readonly string[];
};

export const GOLDEN_FILE = join(import.meta.dirname, 'verify.golden.txt');

/** Names that every Debian has, with its ids: what is said of the others does not depend on the machine. */
export const USERS: ReadonlyMap<string, number> = new Map([['root', 0], ['daemon', 1], ['nobody', 65534]]);
export const GROUPS: ReadonlyMap<string, number> = new Map([['root', 0], ['daemon', 1], ['disk', 6], ['nogroup', 65534]]);

/** `# category`, `> "rules"` as JSON, and below it the messages. */
export function readGoldens(): readonly Golden[] {
  const goldens: { category: string; rules: string; messages: string[] }[] = [];
  let category = '';
  for (const line of readFileSync(GOLDEN_FILE, 'utf8').split('\n')) {
    if (line.startsWith('# ')) category = line.slice(2);
    else if (line.startsWith('> ')) goldens.push({ category, rules: String(JSON.parse(line.slice(2))), messages: [] });
    else if (line !== '') goldens.at(-1)?.messages.push(line);
  }
  return goldens;
}

export function formatGoldens(goldens: readonly Golden[]): string {
  const lines = goldens.flatMap(({ category, rules, messages }, i) => [
    ...(goldens[i - 1]?.category === category ? [] : [`# ${category}`]), `> ${JSON.stringify(rules)}`, ...messages,
  ]);
  return `${lines.join('\n')}\n`;
}
