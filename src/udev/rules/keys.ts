// The keys of rules: which attribute, operators and value each takes, and the token that comes of it.

import { isSettableProperty, parseOption } from './assignments.ts';
import { cutFormat, type FormatProblem, hasSubstitution } from './format.ts';
import { matchValue } from './match-value.ts';
import { ERRNO_TEXTS, parseId, parseMode } from './numbers.ts';
import type { ResolveNames } from './parse-context.ts';
import type { Format, Operator, Token, TokenKey } from './rule.ts';
import type { RawToken } from './scan.ts';

/** What a token is made with: the rest of the parser's knowledge, somewhere to complain, and where the token goes. */
export interface KeyContext {
  readonly resolveNames: ResolveNames;
  resolveUser(name: string): number | undefined;
  resolveGroup(name: string): number | undefined;
  readonly builtins: readonly string[];
  /** The line is lost. */
  error(message: string): void;
  /** The line stays. */
  warn(message: string): void;
  add(token: NewToken): void;
  /** A token that has gone and still counts, among the effects of the line and where duplicates are looked for. */
  addGhost(token: NewToken): void;
}

/** A token that is being made. Thousands are, so that spreads would be half of all the time that parsing takes. */
export type NewToken = { -readonly [Field in keyof Token]: Token[Field] };

/** Reads one token, but GOTO and LABEL, which belong to the line. False, and an error said, where that costs the line. */
export function parseKey(raw: RawToken, context: KeyContext): boolean {
  const { key, op } = raw;
  if (raw.ignoreCase && !isMatch(op)) return refuse(context, `Invalid prefix 'i' for '${key}'. The 'i' prefix can be specified only for '==' or '!=' operator.`);
  const spec = KEYS.get(key);
  if (!spec) return refuse(context, `Invalid key '${key}'.`);
  if (spec.attr === 'none' ? raw.attr !== undefined : spec.attr === 'needed' && (raw.attr ?? '') === '') return refuseAttribute(raw, context);
  return spec.read(raw, spec, context);
}

type KeySpec = {
  readonly attr: 'none' | 'needed' | 'optional';
  /** What the key matches and assigns as; one of them where it does only that. */
  readonly match?: TokenKey;
  readonly assign?: TokenKey;
  readonly refused: readonly Operator[];
  /** Operators that are taken for `=`, and what the message says in their place. */
  readonly mapped?: { readonly from: readonly Operator[]; readonly takes: string };
  readonly read: (raw: RawToken, spec: KeySpec, context: KeyContext) => boolean;
};

const ASSIGNING: readonly Operator[] = ['=', '+=', '-=', ':='];
const NOT_ASSIGNING: readonly Operator[] = ['==', '!=', '-='];

const KEYS: ReadonlyMap<string, KeySpec> = new Map(Object.entries({
  ACTION: onlyMatch('ACTION'),
  DEVPATH: onlyMatch('DEVPATH'),
  KERNEL: onlyMatch('KERNEL'),
  SYMLINK: { attr: 'none', match: 'SYMLINK?', assign: 'SYMLINK', refused: [], read: both },
  NAME: { attr: 'none', match: 'NAME?', assign: 'NAME', refused: ['-='], mapped: { from: ['+='], takes: '\'==\', \'!=\', \'=\', or \':=\'' }, read: readName },
  ENV: { attr: 'needed', match: 'ENV?', assign: 'ENV', refused: ['-='], mapped: { from: [':='], takes: '\'==\', \'!=\', \'=\', or \'+=\'' }, read: readEnv },
  CONST: { attr: 'needed', match: 'CONST', refused: ASSIGNING, read: readConst },
  TAG: { attr: 'none', match: 'TAG?', assign: 'TAG', refused: [], mapped: { from: [':='], takes: '\'==\', \'!=\', \'=\', or \'+=\'' }, read: readTag },
  SUBSYSTEM: { attr: 'none', match: 'SUBSYSTEM', refused: ASSIGNING, read: readSubsystem },
  DRIVER: onlyMatch('DRIVER'),
  ATTR: attribute('ATTR?', 'ATTR'),
  SYSCTL: attribute('SYSCTL?', 'SYSCTL'),
  KERNELS: onlyMatch('KERNELS'),
  SUBSYSTEMS: onlyMatch('SUBSYSTEMS'),
  DRIVERS: onlyMatch('DRIVERS'),
  ATTRS: { attr: 'needed', match: 'ATTRS', refused: ASSIGNING, read: readAttrs },
  TAGS: onlyMatch('TAGS'),
  TEST: { attr: 'optional', match: 'TEST', refused: ASSIGNING, read: readTest },
  PROGRAM: { attr: 'none', match: 'PROGRAM', refused: ['-='], read: readProgram },
  IMPORT: { attr: 'needed', refused: ['-='], read: readImport },
  RESULT: onlyMatch('RESULT'),
  OPTIONS: { attr: 'none', assign: 'OPTIONS', refused: NOT_ASSIGNING, read: readOptions },
  OWNER: identity('OWNER'),
  GROUP: identity('GROUP'),
  MODE: identity('MODE'),
  SECLABEL: { attr: 'needed', assign: 'SECLABEL', refused: NOT_ASSIGNING, mapped: { from: [':='], takes: '\'=\' or \'+=\'' }, read: readSeclabel },
  RUN: { attr: 'optional', assign: 'RUN{program}', refused: NOT_ASSIGNING, read: readRun },
} satisfies Record<string, KeySpec>));

function onlyMatch(match: TokenKey): KeySpec {
  return { attr: 'none', match, refused: ASSIGNING, read: both };
}

function attribute(match: TokenKey, assign: TokenKey): KeySpec {
  return { attr: 'needed', match, assign, refused: ['-='], mapped: { from: ['+=', ':='], takes: '\'==\', \'!=\', or \'=\'' }, read: readAttribute };
}

function identity(assign: TokenKey): KeySpec {
  return { attr: 'none', assign, refused: NOT_ASSIGNING, mapped: { from: ['+='], takes: '\'=\' or \':=\'' }, read: assign === 'MODE' ? readMode : readOwner };
}

function isMatch(op: Operator): boolean {
  return op === '==' || op === '!=';
}

/** A key that matches or assigns as its operator says, and nothing more. */
function both(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  return isMatch(op) ? match(raw, spec, op, context) : assign(raw, spec, op, checkValue(raw, context), context);
}

/** What the operator means here. Undefined, and said, where the key does not take it. */
function operatorOf({ key, op }: RawToken, spec: KeySpec, context: KeyContext): Operator | undefined {
  if (spec.refused.includes(op)) {
    context.error(`Invalid operator for ${key}.`);
    return undefined;
  }
  if (spec.mapped === undefined || !spec.mapped.from.includes(op)) return op;
  context.warn(`${key} key takes ${spec.mapped.takes} operator, assuming '='.`);
  return '=';
}

function newToken(key: TokenKey, op: Operator, value: string): NewToken {
  return { key, op, value, column: 0 };
}

function match(raw: RawToken, spec: KeySpec, op: Operator, context: KeyContext, attrFormat?: Format): true {
  const matched = matchValue(raw.key, op, raw.value);
  const token = newToken(spec.match ?? 'ACTION', matched.op, raw.value);
  token.pattern = matched.pattern;
  if (raw.attr !== undefined) token.attr = raw.attr;
  if (attrFormat !== undefined) token.attrFormat = attrFormat;
  if (raw.ignoreCase) token.ignoreCase = true;
  context.add(token);
  return true;
}

function assign(raw: RawToken, spec: KeySpec, op: Operator, format: Format, context: KeyContext, attrFormat?: Format): true {
  return addFormatted(spec.assign ?? 'ENV', op, raw, format, context, attrFormat);
}

function addFormatted(key: TokenKey, op: Operator, raw: RawToken, format: Format | undefined, context: KeyContext, attrFormat?: Format): true {
  const token = newToken(key, op, raw.value);
  if (format !== undefined) token.format = format;
  if (raw.attr !== undefined && KEYS_WITH_ATTRIBUTE.has(key)) token.attr = raw.attr;
  if (attrFormat !== undefined) token.attrFormat = attrFormat;
  context.add(token);
  return true;
}

/** The attribute of IMPORT and RUN is part of the key of their tokens. */
const KEYS_WITH_ATTRIBUTE: ReadonlySet<TokenKey> = new Set(['ENV', 'ATTR', 'SYSCTL', 'SECLABEL', 'TEST']);

function addNumber(key: TokenKey, op: Operator, value: string, number: number, context: KeyContext): true {
  const token = newToken(key, op, value);
  token.number = number;
  context.add(token);
  return true;
}

/** The value cut into a format. What is wrong with it is said, and costs nothing. */
function checkValue({ key, value }: RawToken, context: KeyContext, isNeeded = false): Format {
  if (value === '') {
    if (isNeeded) context.warn(`Invalid value "" for ${key} (char 0: empty value), ignoring.`);
    return NOTHING;
  }
  if (!hasSubstitution(value)) return [value];
  const { format, problem } = cutFormat(value);
  if (problem) context.warn(`Invalid value "${value}" for ${key} ${describe(problem)}, ignoring.`);
  return format;
}

const NOTHING: Format = [];

/** The same for the attribute of the key; undefined where it has nothing to substitute. */
function checkAttribute({ key, attr = '' }: RawToken, context: KeyContext): Format | undefined {
  if (!hasSubstitution(attr)) return undefined;
  const { format, problem } = cutFormat(attr);
  if (problem) context.warn(`Invalid attribute "${attr}" for ${key} ${describe(problem)}, ignoring.`);
  return format;
}

/** What is not compared as a pattern has no case to ignore. */
function takesNoCase({ key, ignoreCase }: RawToken, context: KeyContext): boolean {
  return !ignoreCase || refuse(context, `Invalid prefix 'i' for ${key}.`);
}

function describe({ position, hint }: FormatProblem): string {
  return `(char ${position}: ${hint})`;
}

function refuse(context: KeyContext, message: string): false {
  context.error(message);
  return false;
}

function refuseAttribute({ key }: RawToken, context: KeyContext): false {
  return refuse(context, `Invalid attribute for ${key}.`);
}

function readName(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (isMatch(op)) return match(raw, spec, op, context);
  if (raw.value === '%k') return refuse(context, 'Ignoring NAME="%k", as it will take no effect.');
  if (raw.value === '') return refuse(context, 'Ignoring NAME="", as udev will not delete any network interfaces.');
  return assign(raw, spec, op, checkValue(raw, context), context);
}

function readEnv(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (isMatch(op)) return match(raw, spec, op, context);
  if (!isSettableProperty(raw.attr ?? '')) return refuse(context, `Invalid ENV attribute. '${raw.attr ?? ''}' cannot be set.`);
  return assign(raw, spec, op, checkValue(raw, context), context);
}

function readTag(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  return isMatch(op) ? match(raw, spec, op, context) : assign(raw, spec, op, checkValue(raw, context, true), context);
}

function readConst(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  if (!CONSTANTS.includes(raw.attr ?? '')) return refuseAttribute(raw, context);
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (raw.attr === 'cvm') context.warn('CONST{cvm} is documented, but udev up to 257 drops the line.');
  return match(raw, spec, op, context);
}

const CONSTANTS = ['arch', 'virt', 'cvm'];

function readSubsystem(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (raw.value === 'bus' || raw.value === 'class') context.warn(`"${raw.value}" must be specified as "subsystem".`);
  return match(raw, spec, op, context);
}

function readAttribute(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const attrFormat = checkAttribute(raw, context);
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (isMatch(op)) return match(raw, spec, op, context, attrFormat);
  // udev writes to the file of that very name, `$` and all.
  return assign(raw, spec, op, checkValue(raw, context), context, raw.key === 'ATTR' ? undefined : attrFormat);
}

function readAttrs(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const attrFormat = checkAttribute(raw, context);
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  if (raw.attr?.startsWith('device/')) context.warn('\'device\' link may not be available in future kernels.');
  if (raw.attr?.includes('../')) context.warn('Direct reference to parent sysfs directory, may break in future kernels.');
  return match(raw, spec, op, context, attrFormat);
}

function readTest(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const attr = raw.attr === '' ? undefined : raw.attr;
  const mode = attr === undefined ? undefined : parseMode(attr);
  if (typeof mode === 'string') return refuse(context, `Failed to parse mode '${attr ?? ''}': ${ERRNO_TEXTS[mode]}`);
  const format = checkValue(raw, context, true);
  if (!takesNoCase(raw, context)) return false;
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  const token = newToken('TEST', op, raw.value);
  token.format = format;
  if (attr !== undefined) token.attr = attr;
  if (mode !== undefined) token.number = mode;
  context.add(token);
  return true;
}

function readProgram(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const format = checkValue(raw, context, true);
  if (!takesNoCase(raw, context)) return false;
  const op = operatorOf(raw, spec, context);
  return op !== undefined && addFormatted('PROGRAM', op === '!=' ? '!=' : '==', raw, format, context);
}

const IMPORTS: ReadonlyMap<string, TokenKey> = new Map([
  ['file', 'IMPORT{file}'], ['program', 'IMPORT{program}'], ['builtin', 'IMPORT{builtin}'], ['db', 'IMPORT{db}'], ['cmdline', 'IMPORT{cmdline}'],
  ['parent', 'IMPORT{parent}'],
]);

function readImport(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const { value } = raw;
  const format = checkValue(raw, context, true);
  if (!takesNoCase(raw, context)) return false;
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  let key = IMPORTS.get(raw.attr ?? '');
  if (!key) return refuseAttribute(raw, context);
  if (key === 'IMPORT{program}' && isBuiltin(value, context)) key = 'IMPORT{builtin}';
  else if (key === 'IMPORT{builtin}' && value !== '' && !isBuiltin(value, context)) context.warn(`Unknown builtin command: ${value}${confusedWith(value, context)}`);
  const isLiteral = key === 'IMPORT{db}' || key === 'IMPORT{cmdline}';
  return addFormatted(key, op === '!=' ? '!=' : '==', raw, isLiteral ? undefined : format, context);
}

/** Its first word names one. It runs as a failed one where it does not: a rule for another udev is no wrong rule. */
function isBuiltin(command: string, { builtins }: KeyContext): boolean {
  return builtins.includes(firstWord(command));
}

/** udev compared the letters that there are (systemd issue 42951): said, because rules may have been written so. */
function confusedWith(command: string, { builtins }: KeyContext): string {
  const word = firstWord(command);
  const taken = word === '' ? undefined : builtins.find((name) => name.startsWith(word));
  return taken === undefined ? '' : ` (older udevs take this for '${taken}')`;
}

function firstWord(command: string): string {
  return /[^ \t\n\r]+/.exec(command)?.[0] ?? '';
}

function readOptions(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  const option = parseOption(raw.value);
  if (option.type === 'error') return refuse(context, option.message);
  if (option.type === 'unknown') context.warn(`Invalid value for OPTIONS key, ignoring: '${raw.value}'`);
  else context.add({ op: op === '+=' ? '=' : op, column: 0, ...option.token });
  return true;
}

function readOwner(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const { value } = raw;
  const isUser = raw.key === 'OWNER';
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  const key = isUser ? 'OWNER#' : 'GROUP#';
  const id = parseId(value);
  if (id !== undefined) return addNumber(key, op, value, id, context);
  // `[subsystem/name]attribute` is the other thing that is only known when the rule runs.
  const isPlain = !hasSubstitution(value) && !value.startsWith('[');
  if (!isPlain || context.resolveNames === 'late') return assign(raw, spec, op, checkValue(raw, context), context);
  const found = context.resolveNames === 'never' ? undefined : isUser ? context.resolveUser(value) : context.resolveGroup(value);
  if (found !== undefined) return addNumber(key, op, value, found, context);
  if (context.resolveNames !== 'never') context.warn(`Unknown ${isUser ? 'user' : 'group'} '${value}', ignoring.`);
  context.addGhost(newToken(key, op, value));
  return true;
}

function readMode(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  const mode = parseMode(raw.value);
  return typeof mode === 'number' ? addNumber('MODE#', op, raw.value, mode, context) : assign(raw, spec, op, checkValue(raw, context, true), context);
}

function readSeclabel(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const format = checkValue(raw, context, true);
  const op = operatorOf(raw, spec, context);
  return op !== undefined && assign(raw, spec, op, format, context);
}

function readRun(raw: RawToken, spec: KeySpec, context: KeyContext): boolean {
  const op = operatorOf(raw, spec, context);
  if (op === undefined) return false;
  const format = checkValue(raw, context, true);
  const { attr, value } = raw;
  if (attr === undefined || attr === 'program') return addFormatted('RUN{program}', op, raw, format, context);
  if (attr !== 'builtin') return refuseAttribute(raw, context);
  if (value !== '' && !isBuiltin(value, context)) context.warn(`Unknown builtin command '${value}', ignoring.${confusedWith(value, context)}`);
  return addFormatted('RUN{builtin}', op, raw, format, context);
}
