// The keys of rules: which attribute, operators and value each takes, and the token that comes of it.

import { isSettableProperty, parseOption } from './assignments.ts';
import { cutFormat, type FormatProblem, hasSubstitution } from './format.ts';
import { matchValue } from './match-value.ts';
import { ERRNO_TEXTS, parseId, parseMode } from './numbers.ts';
import type { ResolveNames } from './parse-context.ts';
import type { Format, Operator, Token, TokenKey } from './rule.ts';
import type { RawToken } from './scan.ts';

/** What a token is made with: the rest of the parser's knowledge, and somewhere to complain. */
export interface KeyContext {
  readonly resolveNames: ResolveNames;
  resolveUser(name: string): number | undefined;
  resolveGroup(name: string): number | undefined;
  readonly builtins: readonly string[];
  /** The line is lost. */
  error(message: string): void;
  /** The line stays. */
  warn(message: string): void;
}

/** A token without its place. */
export type KeyToken = Omit<Token, 'column' | 'line'>;

/** `ghost`: a token that has gone and still counts, among the effects of the line and where duplicates are looked for. */
export type KeyResult = { readonly token: KeyToken } | { readonly ghost: KeyToken } | 'ignored' | 'bad-line';

/** Reads one token, but GOTO and LABEL, which belong to the line. */
export function parseKey(raw: RawToken, context: KeyContext): KeyResult {
  const { key, op } = raw;
  if (raw.ignoreCase && !isMatch(op)) {
    context.error(`Invalid prefix 'i' for '${key}'. The 'i' prefix can be specified only for '==' or '!=' operator.`);
    return 'bad-line';
  }
  const spec = KEYS.get(key);
  if (!spec) {
    context.error(`Invalid key '${key}'.`);
    return 'bad-line';
  }
  if (spec.attr === 'none' ? raw.attr !== undefined : spec.attr === 'needed' && (raw.attr ?? '') === '') return invalidAttribute(raw, context);
  return spec.read({ ...raw, spec }, context);
}

type Input = RawToken & { readonly spec: KeySpec };

type KeySpec = {
  readonly attr: 'none' | 'needed' | 'optional';
  /** What the key matches and assigns as; one of them where it does only that. */
  readonly match?: TokenKey;
  readonly assign?: TokenKey;
  readonly refused: readonly Operator[];
  /** Operators that are taken for `=`, and what the message says in their place. */
  readonly mapped?: { readonly from: readonly Operator[]; readonly takes: string };
  readonly read: (input: Input, context: KeyContext) => KeyResult;
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
function both(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  return isMatch(op) ? matching(input, op) : assigning(input, op, checkValue(input, context));
}

/** What the operator means here. Undefined, and said, where the key does not take it. */
function operatorOf({ key, op, spec }: Input, context: KeyContext): Operator | undefined {
  if (spec.refused.includes(op)) {
    context.error(`Invalid operator for ${key}.`);
    return undefined;
  }
  if (!spec.mapped?.from.includes(op)) return op;
  context.warn(`${key} key takes ${spec.mapped.takes} operator, assuming '='.`);
  return '=';
}

function matching({ key, attr, value, ignoreCase, spec }: Input, op: Operator, attrFormat?: Format): KeyResult {
  const token = {
    key: spec.match ?? 'ACTION', ...matchValue(key, op, value), ...(attr !== undefined && { attr }), ...(attrFormat && { attrFormat }), value,
    ...(ignoreCase && { ignoreCase }),
  };
  return { token };
}

function assigning({ attr, value, spec }: Input, op: Operator, format: Format, attrFormat?: Format): KeyResult {
  return { token: { key: spec.assign ?? 'ENV', op, ...(attr !== undefined && { attr }), ...(attrFormat && { attrFormat }), value, format } };
}

/** The value cut into a format. What is wrong with it is said, and costs nothing. */
function checkValue({ key, value }: Pick<Input, 'key' | 'value'>, context: KeyContext, isNeeded = false): Format {
  const { format, problem = value === '' && isNeeded ? { position: 0, hint: 'empty value' } : undefined } = cutFormat(value);
  if (problem) context.warn(`Invalid value "${value}" for ${key} ${describe(problem)}, ignoring.`);
  return format;
}

/** The same for the attribute of the key; undefined where it has nothing to substitute. */
function checkAttribute({ key, attr = '' }: Input, context: KeyContext): Format | undefined {
  if (!hasSubstitution(attr)) return undefined;
  const { format, problem } = cutFormat(attr);
  if (problem) context.warn(`Invalid attribute "${attr}" for ${key} ${describe(problem)}, ignoring.`);
  return format;
}

/** What is not compared as a pattern has no case to ignore. */
function takesNoCase({ key, ignoreCase }: Input, context: KeyContext): boolean {
  if (ignoreCase) context.error(`Invalid prefix 'i' for ${key}.`);
  return !ignoreCase;
}

function describe({ position, hint }: FormatProblem): string {
  return `(char ${position}: ${hint})`;
}

function invalidAttribute({ key }: Pick<RawToken, 'key'>, context: KeyContext): 'bad-line' {
  context.error(`Invalid attribute for ${key}.`);
  return 'bad-line';
}

function readName(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (isMatch(op)) return matching(input, op);
  if (input.value === '%k') context.error('Ignoring NAME="%k", as it will take no effect.');
  else if (input.value === '') context.error('Ignoring NAME="", as udev will not delete any network interfaces.');
  else return assigning(input, op, checkValue(input, context));
  return 'bad-line';
}

function readEnv(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (isMatch(op)) return matching(input, op);
  if (isSettableProperty(input.attr ?? '')) return assigning(input, op, checkValue(input, context));
  context.error(`Invalid ENV attribute. '${input.attr ?? ''}' cannot be set.`);
  return 'bad-line';
}

function readTag(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  return isMatch(op) ? matching(input, op) : assigning(input, op, checkValue(input, context, true));
}

function readConst(input: Input, context: KeyContext): KeyResult {
  if (!['arch', 'virt', 'cvm'].includes(input.attr ?? '')) return invalidAttribute(input, context);
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (input.attr === 'cvm') context.warn('CONST{cvm} is documented, but udev up to 257 drops the line.');
  return matching(input, op);
}

function readSubsystem(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (input.value === 'bus' || input.value === 'class') context.warn(`"${input.value}" must be specified as "subsystem".`);
  return matching(input, op);
}

function readAttribute(input: Input, context: KeyContext): KeyResult {
  const attrFormat = checkAttribute(input, context);
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (isMatch(op)) return matching(input, op, attrFormat);
  const format = checkValue(input, context);
  // udev writes to the file of that very name, `$` and all.
  return assigning(input, op, format, input.key === 'ATTR' ? undefined : attrFormat);
}

function readAttrs(input: Input, context: KeyContext): KeyResult {
  const attrFormat = checkAttribute(input, context);
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  if (input.attr?.startsWith('device/')) context.warn('\'device\' link may not be available in future kernels.');
  if (input.attr?.includes('../')) context.warn('Direct reference to parent sysfs directory, may break in future kernels.');
  return matching(input, op, attrFormat);
}

function readTest(input: Input, context: KeyContext): KeyResult {
  const { value } = input;
  const attr = input.attr === '' ? undefined : input.attr;
  const mode = attr === undefined ? undefined : parseMode(attr);
  if (typeof mode === 'string') {
    context.error(`Failed to parse mode '${attr ?? ''}': ${ERRNO_TEXTS[mode]}`);
    return 'bad-line';
  }
  const format = checkValue(input, context, true);
  if (!takesNoCase(input, context)) return 'bad-line';
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  return { token: { key: 'TEST', op, ...(attr !== undefined && { attr }), value, format, ...(mode !== undefined && { number: mode }) } };
}

function readProgram(input: Input, context: KeyContext): KeyResult {
  const format = checkValue(input, context, true);
  if (!takesNoCase(input, context)) return 'bad-line';
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  return { token: { key: 'PROGRAM', op: op === '!=' ? '!=' : '==', value: input.value, format } };
}

const IMPORTS: ReadonlyMap<string, TokenKey> = new Map([
  ['file', 'IMPORT{file}'], ['program', 'IMPORT{program}'], ['builtin', 'IMPORT{builtin}'], ['db', 'IMPORT{db}'], ['cmdline', 'IMPORT{cmdline}'],
  ['parent', 'IMPORT{parent}'],
]);

function readImport(input: Input, context: KeyContext): KeyResult {
  const format = checkValue(input, context, true);
  if (!takesNoCase(input, context)) return 'bad-line';
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  let key = IMPORTS.get(input.attr ?? '');
  if (!key) return invalidAttribute(input, context);
  if (key === 'IMPORT{program}' && isBuiltin(input.value, context)) key = 'IMPORT{builtin}';
  else if (key === 'IMPORT{builtin}' && input.value !== '' && !isBuiltin(input.value, context)) context.warn(`Unknown builtin command: ${input.value}${confusedWith(input.value, context)}`);
  const isLiteral = key === 'IMPORT{db}' || key === 'IMPORT{cmdline}';
  return { token: { key, op: op === '!=' ? '!=' : '==', value: input.value, ...(!isLiteral && { format }) } };
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

function readOptions(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  const option = parseOption(input.value);
  switch (option.type) {
    case 'option': return { token: { op: op === '+=' ? '=' : op, ...option.token } };
    case 'error':
      context.error(option.message);
      return 'bad-line';
    case 'unknown':
      context.warn(`Invalid value for OPTIONS key, ignoring: '${input.value}'`);
      return 'ignored';
  }
}

function readOwner(input: Input, context: KeyContext): KeyResult {
  const { value } = input;
  const isUser = input.key === 'OWNER';
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  const key = isUser ? 'OWNER#' : 'GROUP#';
  const id = parseId(value);
  if (id !== undefined) return { token: { key, op, value, number: id } };
  // `[subsystem/name]attribute` is the other thing that is only known when the rule runs.
  const isPlain = !hasSubstitution(value) && !value.startsWith('[');
  if (!isPlain || context.resolveNames === 'late') return assigning(input, op, checkValue(input, context));
  if (context.resolveNames === 'never') return { ghost: { key, op, value } };
  const found = isUser ? context.resolveUser(value) : context.resolveGroup(value);
  if (found !== undefined) return { token: { key, op, value, number: found } };
  context.warn(`Unknown ${isUser ? 'user' : 'group'} '${value}', ignoring.`);
  return { ghost: { key, op, value } };
}

function readMode(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  const mode = parseMode(input.value);
  if (typeof mode === 'number') return { token: { key: 'MODE#', op, value: input.value, number: mode } };
  return assigning(input, op, checkValue(input, context, true));
}

function readSeclabel(input: Input, context: KeyContext): KeyResult {
  const format = checkValue(input, context, true);
  const op = operatorOf(input, context);
  return op === undefined ? 'bad-line' : assigning(input, op, format);
}

function readRun(input: Input, context: KeyContext): KeyResult {
  const op = operatorOf(input, context);
  if (op === undefined) return 'bad-line';
  const format = checkValue(input, context, true);
  const { attr, value } = input;
  if (attr === undefined || attr === 'program') return { token: { key: 'RUN{program}', op, value, format } };
  if (attr !== 'builtin') return invalidAttribute(input, context);
  if (value !== '' && !isBuiltin(value, context)) context.warn(`Unknown builtin command '${value}', ignoring.${confusedWith(value, context)}`);
  return { token: { key: 'RUN{builtin}', op, value, format } };
}
