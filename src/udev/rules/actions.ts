// What a rule in TypeScript returned, checked and turned into the assignments of a .rules file.

import { replaceWhitespace } from '../sanitise.ts';
import { isSettableProperty } from './assignments.ts';
import { BUILTIN_NAMES } from './parse-context.ts';
import type { Operator, Token, TokenKey } from './rule.ts';

/** Entries of one list or record. What has more is a mistake. */
export const ACTIONS_MAX = 1000;

export type Actions = {
  /** In the order in which a line of a .rules file would run them. */
  readonly tokens: readonly Token[];
  /** Keys that `:=` closes when all is done. */
  readonly frozen: readonly string[];
  /** Lists that `=` and `:=` empty first. */
  readonly cleared: readonly ('symlinks' | 'tags' | 'run')[];
};

/** Undefined: the rule does not match. `value` may be anything; throws TypeError with what is wrong with it. */
export function readActions(value: unknown): Actions | undefined {
  if (value === undefined || value === null || value === false) return undefined;
  const given = record(value, 'what the rule returns');
  for (const key of Object.keys(given)) if (!FIELDS.has(key)) throw new TypeError(`there is no action '${key}'`);
  const operators = readOperators(given['operators']);
  const tokens = [
    ...options(given['options'], operators),
    ...identity(given, 'owner', operators), ...identity(given, 'group', operators), ...mode(given['mode'], operators),
    ...texts(given['tags'], 'tags').map((tag) => tokenOf('TAG', '+=', tag)),
    ...entries(given['properties'], 'properties').map(([key, text]) => property(key, text)),
    ...(given['name'] === undefined ? [] : [tokenOf('NAME', operators.get('name') ?? '=', oneLine(given['name'], 'name'))]),
    // One entry is one link, whatever is in it.
    ...texts(given['symlinks'], 'symlinks').map((link) => tokenOf('SYMLINK', '+=', replaceWhitespace(link))),
    ...entries(given['attributes'], 'attributes').map(([name, text]) => tokenOf('ATTR', '=', valueText(text, `attributes.${name}`), name)),
    ...entries(given['sysctls'], 'sysctls').map(([name, text]) => tokenOf('SYSCTL', '=', valueText(text, `sysctls.${name}`), name)),
    ...list(given['run'], 'run').map(run),
  ];
  return {
    tokens,
    frozen: LISTS.filter((field) => operators.get(field) === ':=').map((field) => FROZEN[field]),
    cleared: LISTS.filter((field) => (operators.get(field) ?? '+=') !== '+='),
  };
}

const LISTS = ['symlinks', 'tags', 'run'] as const;
const FROZEN = { symlinks: 'SYMLINK', tags: 'TAG', run: 'RUN' } as const;
const FIELDS = new Set(['properties', 'symlinks', 'tags', 'owner', 'group', 'mode', 'name', 'run', 'attributes', 'sysctls', 'options', 'operators']);
const SINGLE = ['owner', 'group', 'mode', 'name', 'watch'];

type Operators = ReadonlyMap<string, Operator>;

function readOperators(value: unknown): Operators {
  const operators = new Map<string, Operator>();
  for (const [field, op] of entries(value, 'operators')) {
    const isList = field === 'symlinks' || field === 'tags' || field === 'run';
    if (!isList && !SINGLE.includes(field)) throw new TypeError(`operators.${field}: there is no such action`);
    // TAG knows no := in .rules files either.
    const isKnown = op === '=' || (op === ':=' && field !== 'tags') || (op === '+=' && isList);
    if (!isKnown || typeof op !== 'string') throw new TypeError(`operators.${field}: not an operator for it: ${shown(op)}`);
    operators.set(field, op);
  }
  return operators;
}

function options(value: unknown, operators: Operators): Token[] {
  const tokens: Token[] = [];
  for (const [name, setting] of entries(value, 'options')) {
    switch (name) {
      case 'linkPriority':
        if (typeof setting !== 'number' || !Number.isInteger(setting) || Math.abs(setting) > 0x7fffffff) throw new TypeError(`options.linkPriority is no integer: ${shown(setting)}`);
        tokens.push({ ...tokenOf('OPTIONS', '+=', String(setting), 'link_priority'), number: setting });
        break;
      case 'stringEscape':
        if (setting !== 'none' && setting !== 'replace') throw new TypeError(`options.stringEscape is 'none' or 'replace', not ${shown(setting)}`);
        tokens.unshift(tokenOf('OPTIONS', '+=', setting, 'string_escape'));
        break;
      case 'watch':
        tokens.push(tokenOf('OPTIONS', operators.get('watch') ?? '+=', '', flag(setting, 'options.watch') ? 'watch' : 'nowatch'));
        break;
      case 'dbPersist':
        if (flag(setting, 'options.dbPersist')) tokens.push(tokenOf('OPTIONS', '+=', '', 'db_persist'));
        break;
      default: throw new TypeError(`there is no option '${name}'`);
    }
  }
  return tokens;
}

function identity(given: Readonly<Record<string, unknown>>, field: 'owner' | 'group', operators: Operators): Token[] {
  const value = given[field];
  if (value === undefined) return [];
  const isId = typeof value === 'number' && Number.isInteger(value) && value >= 0;
  if (typeof value !== 'string' && !isId) throw new TypeError(`${field} is no name and no id: ${shown(value)}`);
  return [tokenOf(field === 'owner' ? 'OWNER' : 'GROUP', operators.get(field) ?? '=', oneLine(String(value), field))];
}

function mode(value: unknown, operators: Operators): Token[] {
  if (value === undefined) return [];
  const isNumber = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0o7777;
  const isText = typeof value === 'string' && /^[0-7]{1,5}$/.test(value);
  if (!isNumber && !isText) throw new TypeError(`mode is neither permission bits nor octal digits: ${shown(value)}`);
  return [tokenOf('MODE', operators.get('mode') ?? '=', typeof value === 'number' ? value.toString(8).padStart(4, '0') : String(value))];
}

function property(key: string, value: unknown): Token {
  if (!/^[^=\s\p{Cc}]+$/u.test(key)) throw new TypeError(`not the name of a property: ${shown(key)}`);
  if (!isSettableProperty(key)) throw new TypeError(`the property ${key} is not for rules to set`);
  if (value === null) return tokenOf('ENV', '=', '', key);
  return tokenOf('ENV', '=', typeof value === 'boolean' ? (value ? '1' : '0') : valueText(value, `properties.${key}`), key);
}

function run(value: unknown): Token {
  if (typeof value === 'string') return tokenOf('RUN{program}', '+=', notEmpty(oneLine(value, 'run'), 'run'));
  const builtin = oneLine(record(value, 'run')['builtin'], 'run.builtin');
  const [name = ''] = builtin.split(/\s/, 1);
  if (!BUILTIN_NAMES.includes(name)) throw new TypeError(`there is no builtin ${shown(name)}`);
  return tokenOf('RUN{builtin}', '+=', builtin);
}

function tokenOf(key: TokenKey, op: Operator, value: string, attr?: string): Token {
  // A format of one text: nothing in it is substituted.
  return { key, op, value, format: [value], column: 1, ...(attr !== undefined && { attr, attrFormat: [attr] }) };
}

function texts(value: unknown, field: string): string[] {
  return list(value, field).map((text) => notEmpty(oneLine(text, field), field));
}

function list(value: unknown, field: string): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new TypeError(`${field} is no list: ${shown(value)}`);
  if (value.length > ACTIONS_MAX) throw new TypeError(`${field} has more than ${ACTIONS_MAX} entries`);
  return value as readonly unknown[];
}

function entries(value: unknown, field: string): (readonly [string, unknown])[] {
  if (value === undefined) return [];
  const all = Object.entries(record(value, field)).filter(([, each]) => each !== undefined);
  if (all.length > ACTIONS_MAX) throw new TypeError(`${field} has more than ${ACTIONS_MAX} entries`);
  return all;
}

function record(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${field} is no object: ${shown(value)}`);
  return value as Readonly<Record<string, unknown>>;
}

function flag(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${field} is neither true nor false: ${shown(value)}`);
  return value;
}

function valueText(value: unknown, field: string): string {
  return oneLine(typeof value === 'number' ? String(value) : value, field);
}

/** The database and the messages of udev have one property a line. */
function oneLine(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new TypeError(`${field} is no text: ${shown(value)}`);
  if (/\p{Cc}/u.test(value)) throw new TypeError(`${field} has a control character: ${shown(value)}`);
  return value;
}

function notEmpty(text: string, field: string): string {
  if (text === '') throw new TypeError(`${field} is empty`);
  return text;
}

const SHOWN_MAX = 80;

function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : typeof value === 'function' || typeof value === 'object' ? typeof value : String(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}
