// A file of cases for `test-rules`: captured devices, what is asked and answered, and what the rules shall make of it.

import { LimitError, ParseError } from '../../errors.ts';
import { isDeviceLine } from '../umockdev.ts';
import type { NumberedLine } from '../umockdev.ts';

/** Bytes of a file of cases. */
export const CASE_FILE_MAX = 16 << 20;

export type CaseFile = {
  /** The lines of captured devices, for `parseDevices`. */
  readonly devices: readonly NumberedLine[];
  /** Other files with such lines. */
  readonly includes: readonly NumberedLine[];
  /** For all cases that name none themselves. */
  readonly rules: readonly string[];
  readonly cases: readonly TestCase[];
};

export type TestCase = {
  readonly title: string;
  readonly file: string;
  readonly line: number;
  /** A devpath; the first device of the file when absent. */
  readonly device: string | undefined;
  readonly action: string;
  readonly rules: readonly string[];
  /** Of the uevent message, beside those of the device. */
  readonly event: ReadonlyMap<string, string>;
  /** Of the database, beside those of the device. */
  readonly stored: ReadonlyMap<string, string>;
  /** What `udevadm control --property` set. */
  readonly globals: ReadonlyMap<string, string>;
  readonly constants: ReadonlyMap<string, string>;
  readonly sysctls: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, string>;
  readonly cmdline: string;
  /** By command. */
  readonly programs: ReadonlyMap<string, CaseAnswer>;
  readonly builtins: ReadonlyMap<string, CaseAnswer>;
  readonly expected: readonly Expectation[];
};

export type CaseAnswer = { readonly status: number; readonly output: string };

/** `text` is undefined where there shall be nothing. */
export type Expectation =
  | { readonly type: 'links' | 'tags' | 'run' | 'writes'; readonly line: number; readonly values: readonly string[] }
  | { readonly type: 'properties'; readonly line: number; readonly values: ReadonlyMap<string, string> }
  | { readonly type: 'property'; readonly line: number; readonly key: string; readonly text: string | undefined }
  | { readonly type: 'mode' | 'owner' | 'group' | 'name' | 'priority' | 'watch' | 'persist'; readonly line: number; readonly text: string | undefined };

/** Throws ParseError for the first line that is none, and LimitError. `file` is for messages. */
export function parseCaseFile(text: string, file: string): CaseFile {
  if (text.length > CASE_FILE_MAX) throw new LimitError({ file, limit: 'CASE_FILE_MAX', maximum: CASE_FILE_MAX, actual: text.length });
  const reader = new CaseReader(file);
  for (const [index, line] of text.split('\n').entries()) reader.read(line.replace(/\r$/, ''), index + 1);
  return reader.finish();
}

type Draft = {
  -readonly [K in 'device' | 'action' | 'cmdline']: TestCase[K];
} & {
  readonly title: string;
  readonly line: number;
  readonly rules: string[];
  readonly maps: Record<'event' | 'stored' | 'globals' | 'constants' | 'sysctls' | 'files', Map<string, string>>;
  readonly programs: Map<string, { status: number; output: string }>;
  readonly builtins: Map<string, { status: number; output: string }>;
  readonly lists: Map<'links' | 'tags' | 'run' | 'writes', { line: number; values: string[] }>;
  readonly expected: Expectation[];
};

const MAPS = { event: 'event', stored: 'stored', global: 'globals', const: 'constants', sysctl: 'sysctls' } as const;
const SINGLE = ['mode', 'owner', 'group', 'name', 'priority', 'watch', 'persist'] as const;
const LISTS = { link: 'links', links: 'links', tags: 'tags', run: 'run', 'run{builtin}': 'run', writes: 'writes' } as const;
/** What stands for nothing. */
const NONE = 'none';

class CaseReader {
  private readonly file: string;
  private readonly devices: NumberedLine[] = [];
  private readonly includes: NumberedLine[] = [];
  private readonly rules: string[] = [];
  private readonly cases: Draft[] = [];
  private isExpecting = false;
  private line = 0;
  /** Takes the indented lines behind a key. */
  private takes: ((text: string) => void) | undefined;
  /** The answer that `status:` is of. */
  private answer: { status: number; output: string } | undefined;

  constructor(file: string) {
    this.file = file;
  }

  read(text: string, line: number): void {
    this.line = line;
    if (/^[ \t]/.test(text) && this.takes) {
      this.takes(text.trim());
      return;
    }
    if (text.trim() === '' || text.startsWith('#')) return;
    this.takes = undefined;
    if (isDeviceLine(text)) {
      this.devices.push({ text, line });
      return;
    }
    const match = /^([a-z]+(?:-[a-z]+)*(?:\{[a-z]+\})?):(?:[ \t]+(.*))?$/.exec(text);
    if (!match) throw this.failed('neither "key: value" nor a line of a captured device');
    const [, key = '', value = ''] = match;
    this.take(key, value.trim());
  }

  finish(): CaseFile {
    if (this.devices.length === 0 && this.includes.length === 0) throw new ParseError({ file: this.file, line: this.line, message: 'no device: P: comes first' });
    return { devices: this.devices, includes: this.includes, rules: this.rules, cases: this.cases.map((draft) => this.caseOf(draft)) };
  }

  private take(key: string, value: string): void {
    const draft = this.cases.at(-1);
    if (key === 'case') {
      this.cases.push(newDraft(this.needed(key, value), this.line));
      this.isExpecting = false;
    } else if (!draft) {
      if (key === 'rules') this.rules.push(this.needed(key, value));
      else if (key === 'devices') this.includes.push({ text: this.needed(key, value), line: this.line });
      else throw this.failed(`${key}: before the first case: only devices, "devices:" and "rules:" are of the whole file`);
    } else if (key === 'expect') this.isExpecting = true;
    else if (this.isExpecting) this.takeExpectation(draft, key, value);
    else this.takeInput(draft, key, value);
  }

  private takeInput(draft: Draft, key: string, value: string): void {
    if (Object.hasOwn(MAPS, key)) {
      const [name, text] = this.pair(key, value);
      draft.maps[MAPS[key as keyof typeof MAPS]].set(name, text);
      return;
    }
    switch (key) {
      case 'device': draft.device = this.needed(key, value); break;
      case 'action': draft.action = this.needed(key, value); break;
      case 'rules': draft.rules.push(this.needed(key, value)); break;
      case 'cmdline': draft.cmdline = value; break;
      case 'program': this.takeAnswer(draft.programs, this.needed(key, value)); break;
      case 'builtin': this.takeAnswer(draft.builtins, this.needed(key, value)); break;
      case 'status':
        if (!this.answer || !/^[0-9]{1,3}$/.test(value)) throw this.failed('status: is a number, behind "program:" or "builtin:"');
        this.answer.status = Number(value);
        break;
      case 'file': {
        const name = this.needed(key, value);
        draft.maps.files.set(name, '');
        this.takes = (text) => void draft.maps.files.set(name, `${draft.maps.files.get(name) ?? ''}${text}\n`);
        break;
      }
      default: throw this.failed(`unknown key "${key}:"${isExpectation(key) ? ': expectations come behind "expect:"' : ''}`);
    }
  }

  private takeAnswer(answers: Draft['programs'], command: string): void {
    if (answers.has(command)) throw this.failed(`"${command}" is answered twice`);
    const answer = { status: 0, output: '' };
    answers.set(command, answer);
    this.answer = answer;
    this.takes = (text) => void (answer.output += `${text}\n`);
  }

  private takeExpectation(draft: Draft, key: string, value: string): void {
    const { line } = this;
    if (key === 'property') {
      const [name, text] = this.pair(key, value);
      draft.expected.push({ type: 'property', line, key: name, text });
    } else if (key === 'no-property') draft.expected.push({ type: 'property', line, key: this.needed(key, value), text: undefined });
    else if (key === 'properties') {
      const values = new Map<string, string>();
      draft.expected.push({ type: 'properties', line, values });
      if (value !== '' && value !== NONE) throw this.failed('properties: has its KEY=VALUE in indented lines behind it');
      this.takes = (text) => void values.set(...this.pair(key, text));
    } else if (Object.hasOwn(LISTS, key)) this.takeList(draft, key as keyof typeof LISTS, value);
    else {
      const type = SINGLE.find((single) => single === key);
      if (type === undefined) throw this.failed(`unknown expectation "${key}:"`);
      this.needed(key, value);
      if (type === 'mode' && value !== NONE && !/^[0-7]{3,5}$/.test(value)) throw this.failed('mode: is octal digits, or none');
      draft.expected.push({ type, line, text: value === NONE ? undefined : value });
    }
  }

  private takeList(draft: Draft, key: keyof typeof LISTS, value: string): void {
    const type = LISTS[key];
    const known = draft.lists.get(type) ?? { line: this.line, values: [] };
    draft.lists.set(type, known);
    if (value === NONE || value === '') return;
    // A command has blanks, a link has none.
    if (type === 'run') known.values.push(`${key === 'run' ? '' : '{builtin} '}${value}`);
    else if (type === 'writes') known.values.push(value);
    else known.values.push(...value.split(/[ \t]+/));
  }

  private caseOf({ title, line, device, action, cmdline, rules, maps, programs, builtins, lists, expected }: Draft): TestCase {
    const all: Expectation[] = [...expected, ...[...lists].map(([type, list]) => ({ type, ...list }))].sort((a, b) => a.line - b.line);
    if (all.length === 0) throw new ParseError({ file: this.file, line, message: `nothing is expected of the case "${title}": "expect:" and a line for each thing` });
    return { title, file: this.file, line, device, action, cmdline, rules, ...maps, programs, builtins, expected: all };
  }

  private pair(key: string, value: string): [string, string] {
    const equals = value.indexOf('=');
    if (equals <= 0) throw this.failed(`${key}: is KEY=VALUE, not "${value}"`);
    return [value.slice(0, equals), value.slice(equals + 1)];
  }

  private needed(key: string, value: string): string {
    if (value === '') throw this.failed(`${key}: without a value`);
    return value;
  }

  private failed(message: string): ParseError {
    return new ParseError({ file: this.file, line: this.line, message });
  }
}

function newDraft(title: string, line: number): Draft {
  return {
    title, line, device: undefined, action: 'add', cmdline: '', rules: [], programs: new Map(), builtins: new Map(), lists: new Map(), expected: [],
    maps: { event: new Map(), stored: new Map(), globals: new Map(), constants: new Map(), sysctls: new Map(), files: new Map() },
  };
}

function isExpectation(key: string): boolean {
  return Object.hasOwn(LISTS, key) || SINGLE.some((single) => single === key) || ['property', 'no-property', 'properties'].includes(key);
}
