// The tokens that bring something in: PROGRAM, and IMPORT of all kinds. Those that may block say what they want and how to go on.

import { fnmatch } from '../../kmod/alias.ts';
import type { Builtin, BuiltinOutcome } from '../builtin/builtin.ts';
import { parseImport } from '../import-lines.ts';
import { kernelCmdlineValue } from '../cmdline.ts';
import { splitCommand } from '../program-words.ts';
import type { ProgramResult } from '../program.ts';
import { ALLOWED_IN_INPUT, replaceChars, trimNewlines } from '../sanitise.ts';
import { fullProperties, kernelProperties, setProperty } from './event-state.ts';
import type { EventState } from './event-state.ts';
import type { Token } from './rule.ts';
import { COMMAND_MAX, PATH_MAX, substitute } from './substitute.ts';

/** What an event waits for. */
export type Pending =
  | { readonly type: 'program'; readonly command: string; readonly finish: (result: ProgramResult) => boolean }
  | { readonly type: 'builtin'; readonly builtin: Builtin; readonly argv: readonly string[]; readonly finish: (outcome: BuiltinOutcome) => boolean };

export type Import = (state: EventState) => boolean | Pending;

/** Undefined for a token of another kind. */
export function compileImport(token: Token): Import | undefined {
  switch (token.key) {
    case 'PROGRAM': return (state) => program(state, token);
    case 'IMPORT{file}': return (state) => importFile(state, token);
    case 'IMPORT{program}': return (state) => importProgram(state, token);
    case 'IMPORT{builtin}': return (state) => importBuiltin(state, token);
    case 'IMPORT{db}': return (state) => importDatabase(state, token);
    case 'IMPORT{cmdline}': return (state) => importCmdline(state, token);
    case 'IMPORT{parent}': return (state) => importParent(state, token);
    default: return undefined;
  }
}

function program(state: EventState, { format, value, op }: Token): boolean | Pending {
  state.result = undefined;
  const command = expand(state, format ?? [value], COMMAND_MAX);
  if (command === undefined) return false;
  return {
    type: 'program', command,
    finish({ status, stdout }) {
      if (status !== 0) return op === '!=';
      state.result = replaceChars(trimNewlines(stdout), ALLOWED_IN_INPUT);
      return op !== '!=';
    },
  };
}

function importProgram(state: EventState, { format, value, op }: Token): boolean | Pending {
  const command = expand(state, format ?? [value], COMMAND_MAX);
  if (command === undefined) return false;
  return {
    type: 'program', command,
    finish({ status, stdout, truncated }) {
      if (status !== 0) return op === '!=';
      // Half a line is worse than none.
      take(state, truncated ? stdout.slice(0, stdout.lastIndexOf('\n') + 1) : stdout, command);
      return op !== '!=';
    },
  };
}

function importFile(state: EventState, { format, value, op }: Token): boolean {
  const path = expand(state, format ?? [value], PATH_MAX);
  const text = path === undefined ? undefined : state.host.readText(path);
  if (path === undefined) return false;
  if (text === undefined) return op === '!=';
  take(state, text, path);
  return op !== '!=';
}

function importBuiltin(state: EventState, { format, value, op }: Token): boolean | Pending {
  const command = expand(state, format ?? [value], COMMAND_MAX);
  if (command === undefined) return false;
  const argv = splitCommand(command);
  const name = argv[0] ?? '';
  const negated = op === '!=';
  if (state.builtins.has(name)) return (state.builtins.get(name) !== undefined) !== negated;
  const builtin = state.host.builtin(name);
  // Some are not built, or not known here: as a failure.
  if (!builtin) return negated;
  return {
    type: 'builtin', builtin, argv,
    finish(outcome) {
      if (builtin.runOnce) state.builtins.set(name, outcome);
      if (outcome) for (const [key, text] of outcome) setProperty(state, key, text);
      return (outcome !== undefined) !== negated;
    },
  };
}

/** On `remove` the properties of the database are those of the event already, and this finds nothing, as in udev. */
function importDatabase(state: EventState, { value, op }: Token): boolean {
  const found = state.action === 'remove' ? undefined : state.record?.properties.get(value);
  state.saw = found;
  if (found !== undefined) setProperty(state, value, found);
  return (found !== undefined) !== (op === '!=');
}

function importCmdline(state: EventState, { value, op }: Token): boolean {
  const found = kernelCmdlineValue(state.host.cmdline(), value);
  state.saw = found;
  if (found !== undefined) setProperty(state, value, found);
  return (found !== undefined) !== (op === '!=');
}

function importParent(state: EventState, { format, value, op }: Token): boolean {
  const filter = expand(state, format ?? [value], PATH_MAX);
  if (filter === undefined) return false;
  const { device: { parent }, host } = state;
  // What has no subsystem has no place in the database either, and udev then sees no properties at all.
  if (parent?.subsystem !== undefined) {
    const record = host.record(parent);
    const properties = kernelProperties(parent, host.roots.dev);
    for (const [key, text] of record?.properties ?? []) properties.set(key, text);
    const all = record ? fullProperties({ ...record, properties }, host.roots.dev) : properties;
    for (const [key, text] of all) if (fnmatch(filter, key)) setProperty(state, key, text);
  }
  return (parent !== undefined) !== (op === '!=');
}

function take(state: EventState, text: string, source: string): void {
  const { properties, bad } = parseImport(text);
  for (const [key, value] of properties) setProperty(state, key, value);
  for (const line of bad) state.host.log.debug({ code: 'import-line', message: `${state.device.sysname}: ${source}: no KEY=VALUE: ${line}` });
}

function expand(state: EventState, format: NonNullable<Token['format']>, maximum: number): string | undefined {
  const text = substitute(state, format, maximum);
  state.saw = text;
  return text;
}
