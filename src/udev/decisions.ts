// The journal of decisions: a bounded file in /run that says which modules were asked for since the boot, by whom, and what came of it.

import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { makeDirectory, replaceFile } from './atomic-file.ts';
import { type Decision, formatDecision, parseDecision } from './decision-record.ts';

/** Bytes of the file. A coldplug of 400 devices writes 200 KB. */
export const DECISIONS_MAX = 4 * 1024 * 1024;
/** How long a record waits to be written: many cost one write. */
const WRITE_MS = 100;

export interface DecisionJournal {
  /** Written a moment later. A second record that says the same of the same device and name is left out. */
  note(decision: Decision): void;
  /** Writes what is noted. */
  flush(): void;
}

export function decisionsPath(system: System): string {
  return join(system.roots.run, 'udev', 'tsudevd.decisions');
}

/** Oldest first; empty where there is no journal, or none for us. Lines that are none count for nothing. */
export function readDecisions(system: System): Decision[] {
  return readText(system).split('\n').flatMap((line) => (line === '' ? [] : parseDecision(line) ?? []));
}

/**
 * For a command beside the daemon, which keeps no account: one more line, where there is a /run/udev, and room. Who may not write there, or a full
 * /run, costs the record only.
 */
export function appendDecision(system: System, decision: Decision): void {
  const path = decisionsPath(system);
  try {
    if (!existsSync(join(system.roots.run, 'udev')) || (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= DECISIONS_MAX) return;
    appendFileSync(path, formatDecision(decision), { mode: 0o600 });
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'decisions-unwritten', message: `could not write ${path}: ${messageOf(error)}` });
  }
}

/** Goes on with the file of an earlier daemon. When it would grow beyond `limit` bytes, the older half of its lines goes. */
export function openDecisionJournal(system: System, limit = DECISIONS_MAX): DecisionJournal {
  const path = decisionsPath(system);
  const text = readText(system);
  let size = Buffer.byteLength(text);
  /** What was said already, so that a device that comes and goes does not fill the file. */
  const said = new Set(text.split('\n').flatMap((line) => (line === '' ? [] : parseDecision(line) ?? [])).map(keyOf));
  let unwritten: string[] = [];
  let scheduled = false;
  let hasFailed = false;

  const flush = (): void => {
    scheduled = false;
    if (unwritten.length === 0) return;
    const added = unwritten.join('');
    unwritten = [];
    try {
      makeDirectory(join(system.roots.run, 'udev'));
      if (size + Buffer.byteLength(added) > limit) {
        const kept = newest(readText(system) + added, limit / 2);
        said.clear();
        for (const line of kept.split('\n')) {
          const decision = line === '' ? undefined : parseDecision(line);
          if (decision) said.add(keyOf(decision));
        }
        replaceFile(path, kept, 0o600);
        size = Buffer.byteLength(kept);
      } else {
        appendFileSync(path, added, { mode: 0o600 });
        size += Buffer.byteLength(added);
      }
      hasFailed = false;
    } catch (error) {
      // One line: a full /run would give one for each request.
      if (!hasFailed) system.log.warn({ code: 'decisions-unwritten', message: `could not write ${path}: ${messageOf(error)}` });
      hasFailed = true;
    }
  };
  return {
    note(decision) {
      const key = keyOf(decision);
      if (decision.loads.length === 0 && said.has(key)) return;
      said.add(key);
      unwritten.push(formatDecision(decision));
      if (scheduled) return;
      scheduled = true;
      setTimeout(flush, WRITE_MS).unref();
    },
    flush,
  };
}

function keyOf({ name, devpath, modules }: Decision): string {
  return `${devpath}\0${name}\0${modules.map(({ module, outcome }) => `${module} ${outcome === 'inserted' ? 'live' : outcome}`).join('\0')}`;
}

/** Whole lines from the end, at most so many bytes. */
function newest(text: string, bytes: number): string {
  const all = Buffer.from(text);
  if (all.length <= bytes) return text;
  const newline = all.indexOf('\n', Math.ceil(all.length - bytes));
  return newline < 0 ? '' : all.toString('utf8', newline + 1);
}

function readText(system: System): string {
  const path = decisionsPath(system);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) !== 'ENOENT') system.log.debug({ code: 'decisions-unread', message: `could not read ${path}: ${messageOf(error)}` });
    return '';
  }
}
