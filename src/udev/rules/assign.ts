// The tokens of a rule that set something, as functions.

import { replaceChars, replaceIfname } from '../sanitise.ts';
import { setProperty, propertyOf } from './event-state.ts';
import type { EventState } from './event-state.ts';
import { normaliseLink } from './link-name.ts';
import { resolveReferencePath } from './reference.ts';
import type { Token } from './rule.ts';
import { resolveStar } from './star.ts';
import { COMMAND_MAX, PATH_MAX, substitute, VALUE_MAX } from './substitute.ts';

/** Nothing here can end a line: what cannot be set is refused, and said in the log. */
export type Action = (state: EventState) => void;

/** Undefined for a token that compares or imports. */
export function compileAction(token: Token): Action | undefined {
  switch (token.key) {
    case 'OPTIONS': return (state) => setOption(state, token);
    case 'OWNER': return (state) => setId(state, token, 'OWNER', state.host.userId);
    case 'GROUP': return (state) => setId(state, token, 'GROUP', state.host.groupId);
    case 'MODE': return (state) => setMode(state, token);
    case 'OWNER#': return (state) => setNumber(state, token, 'OWNER', 'owner');
    case 'GROUP#': return (state) => setNumber(state, token, 'GROUP', 'group');
    case 'MODE#': return (state) => setNumber(state, token, 'MODE', 'mode');
    case 'TAG': return (state) => setTag(state, token);
    // Applied once, when the daemon starts.
    case 'static_node': return () => undefined;
    case 'SECLABEL': return (state) => setSeclabel(state, token);
    case 'ENV': return (state) => setEnv(state, token);
    case 'NAME': return (state) => setName(state, token);
    case 'SYMLINK': return (state) => setLinks(state, token);
    case 'ATTR': return (state) => writeAttribute(state, token);
    case 'SYSCTL': return (state) => writeSysctl(state, token);
    case 'RUN{builtin}': return (state) => addRun(state, token, 'builtin');
    case 'RUN{program}': return (state) => addRun(state, token, 'program');
    default: return undefined;
  }
}

function setOption(state: EventState, { attr, op, value, number }: Token): void {
  state.saw = value;
  switch (attr) {
    case 'string_escape': state.escape = value === 'replace' ? 'replace' : 'none'; break;
    case 'db_persist': state.dbPersist = true; break;
    case 'link_priority': state.linkPriority = number ?? 0; break;
    case 'watch':
    case 'nowatch':
      if (!freeze(state, 'watch', op)) return;
      state.watch = attr === 'watch';
      break;
    case 'dump': dump(state); break;
    // The log has one level for all events.
    default: state.outcome = 'refused';
  }
}

/** False when an earlier `:=` closed the key: nothing is to be done. `op` may close it from now on. */
function freeze(state: EventState, key: string, op: Token['op']): boolean {
  if (state.frozen.has(key)) {
    state.outcome = 'refused';
    return false;
  }
  if (op === ':=') state.frozen.add(key);
  return true;
}

function setId(state: EventState, token: Token, key: 'OWNER' | 'GROUP', lookUp: (name: string) => number | undefined): void {
  if (!freeze(state, key, token.op)) return;
  const name = expand(state, token, VALUE_MAX);
  if (name === undefined) return;
  const id = /^[0-9]{1,10}$/.test(name) ? Number(name) : lookUp.call(state.host, name);
  if (id === undefined || id >= 0xffffffff) return refuse(state, `Unknown ${key === 'OWNER' ? 'user' : 'group'} "${name}", ignoring.`);
  if (key === 'OWNER') state.owner = id;
  else state.group = id;
}

function setMode(state: EventState, token: Token): void {
  if (!freeze(state, 'MODE', token.op)) return;
  const text = expand(state, token, VALUE_MAX);
  if (text === undefined) return;
  if (!/^[0-7]{1,8}$/.test(text) || parseInt(text, 8) > 0o7777) return refuse(state, `Failed to parse mode '${text}', ignoring.`);
  state.mode = parseInt(text, 8);
}

function setNumber(state: EventState, { op, number, value }: Token, key: string, field: 'owner' | 'group' | 'mode'): void {
  if (!freeze(state, key, op)) return;
  state[field] = number;
  state.saw = value;
}

function setTag(state: EventState, token: Token): void {
  const tag = expand(state, token, PATH_MAX);
  if (tag === undefined) return;
  if (token.op === '=') {
    state.tags.clear();
    state.currentTags.clear();
  }
  if (!/^[0-9A-Za-z_-]+$/.test(tag)) return refuse(state, `Invalid tag name '${tag}', ignoring`);
  if (token.op === '-=') {
    // That it once had the tag is still true.
    state.currentTags.delete(tag);
  } else {
    state.tags.add(tag);
    state.currentTags.add(tag);
  }
}

function setSeclabel(state: EventState, token: Token): void {
  const label = expand(state, token, VALUE_MAX);
  if (label === undefined) return;
  if (token.op === '=') state.seclabels.clear();
  state.seclabels.set(token.attr ?? '', label);
}

function setEnv(state: EventState, token: Token): void {
  const { attr: key = '', op, value } = token;
  if (value === '') {
    if (op !== '+=') setProperty(state, key, undefined);
    state.saw = '';
    return;
  }
  const old = op === '+=' ? propertyOf(state, key) : undefined;
  const added = expand(state, token, VALUE_MAX);
  if (added === undefined) return;
  const text = state.escape === 'replace' ? replaceChars(added, '') : added;
  const whole = old === undefined ? text : `${old} ${text}`;
  if (Buffer.byteLength(whole) > VALUE_MAX) return refuse(state, `The property ${key} would be longer than ${VALUE_MAX} bytes, ignoring.`);
  setProperty(state, key, whole);
  state.saw = whole;
}

function setName(state: EventState, token: Token): void {
  if (!freeze(state, 'NAME', token.op)) return;
  const text = expand(state, token, VALUE_MAX);
  if (text === undefined) return;
  if (state.device.ifindex === undefined) return refuse(state, 'Only network interfaces can be renamed, ignoring NAME="%s".'.replace('%s', () => text));
  state.name = state.escape === 'none' ? text : replaceIfname(text);
  state.saw = state.name;
}

function setLinks(state: EventState, token: Token): void {
  const { device, escape } = state;
  if (state.frozen.has('SYMLINK') || device.devnum === undefined) {
    state.outcome = 'refused';
    return;
  }
  if (token.op === ':=') state.frozen.add('SYMLINK');
  if (token.op === '=' || token.op === ':=') state.links.clear();
  const text = expand(state, token, PATH_MAX, { whitespace: escape !== 'none' });
  if (text === undefined) return;
  const list = escape === 'none' ? text : replaceChars(text, escape === 'replace' ? '/' : '/ ');
  state.saw = list;
  for (const word of list.split(' ')) {
    if (word === '') continue;
    const link = normaliseLink(word, state.host.roots.dev);
    if (link === undefined || Buffer.byteLength(link) > PATH_MAX - state.host.roots.dev.length) {
      refuse(state, `Failed to ${token.op === '-=' ? 'remove' : 'add'} device symlink '${word}', ignoring.`);
    } else if (token.op === '-=') state.links.delete(link);
    else state.links.add(link);
  }
}

function writeAttribute(state: EventState, token: Token): void {
  const { attr = '' } = token;
  const path = resolveReferencePath(state.host, attr) ?? `${state.device.syspath}/${attr}`;
  const value = expand(state, token, VALUE_MAX);
  if (value === undefined) return;
  const target = resolveStar(state.host, path);
  const failure = target === undefined ? 'no such file' : state.host.writeAttribute(target, value);
  state.saw = `${target ?? path} ${value}`;
  if (failure !== undefined) fail(state, `Failed to write ATTR{${target ?? path}}="${value}", ignoring: ${failure}`);
}

function writeSysctl(state: EventState, token: Token): void {
  const name = substitute(state, token.attrFormat ?? [token.attr ?? ''], PATH_MAX);
  if (name === undefined) return refuse(state, 'The name of the sysctl is too long, ignoring.');
  const value = expand(state, token, VALUE_MAX);
  if (value === undefined) return;
  const failure = state.host.writeSysctl(name, value);
  state.saw = `${name} ${value}`;
  if (failure !== undefined) fail(state, `Failed to write SYSCTL{${name}}="${value}", ignoring: ${failure}`);
}

function addRun(state: EventState, token: Token, type: 'program' | 'builtin'): void {
  if (!freeze(state, 'RUN', token.op)) return;
  if (token.op === '=' || token.op === ':=') state.run.length = 0;
  const command = expand(state, token, COMMAND_MAX);
  if (command === undefined) return;
  const { file = '', line = 0 } = state.line ?? {};
  state.run.push({ type, command, source: { file, line } });
}

function expand(state: EventState, { format, value }: Token, maximum: number, options?: { readonly whitespace: boolean }): string | undefined {
  const text = substitute(state, format ?? [value], maximum, options);
  state.saw = text;
  if (text === undefined) refuse(state, `The text of "${value}" is too long after substitution, ignoring.`);
  return text;
}

function refuse(state: EventState, message: string): void {
  state.outcome = 'refused';
  warn(state, message);
}

function fail(state: EventState, message: string): void {
  state.outcome = 'failed';
  warn(state, message);
}

function warn({ host, device, line }: EventState, message: string): void {
  const where = line === undefined ? '' : `${line.file}:${line.line} `;
  host.log.warn({ code: 'rule-refused', message: `${device.sysname}: ${where}${message}`, ...(line && { file: line.file, line: line.line }) });
}

/** What the event has come to, in the log. */
function dump({ host, device, properties, tags, links, run }: EventState): void {
  const say = (text: string) => host.log.notice({ code: 'dump', message: `${device.sysname}: ${text}` });
  for (const [key, value] of properties) say(`ENV{${key}}=${value}`);
  if (tags.size > 0) say(`TAGS ${[...tags].join(' ')}`);
  if (links.size > 0) say(`SYMLINK ${[...links].join(' ')}`);
  for (const { type, command } of run) say(`RUN{${type}} ${command}`);
}
