// The tokens of a rule that compare and cannot block, as functions.

import type { Device } from '../device.ts';
import { fits, trimEndSpace } from '../sanitise.ts';
import { propertyOf } from './event-state.ts';
import type { EventState } from './event-state.ts';
import { compilePattern } from './pattern.ts';
import type { Matcher } from './pattern.ts';
import { resolveReference, resolveReferencePath } from './reference.ts';
import type { Token } from './rule.ts';
import { resolveStar } from './star.ts';
import { PATH_MAX, substitute, VALUE_MAX } from './substitute.ts';

/** What was compared is left in `state.saw`. */
export type Test = (state: EventState) => boolean;
/** For one of the devices from the event's own upwards. */
export type ParentTest = (state: EventState, device: Device) => boolean;

/** Undefined for a token that does not match but acts. */
export function compileMatch(token: Token): Test | undefined {
  const matcher = token.pattern ? compilePattern(token.pattern, token.ignoreCase) : () => false;
  const wanted = token.op === '==';
  const text = (read: (state: EventState) => string | undefined): Test => (state) => matcher(state.saw = read(state) ?? '') === wanted;
  const { attr = '' } = token;
  switch (token.key) {
    case 'ACTION': return text((state) => state.action);
    case 'DEVPATH': return text((state) => state.device.devpath);
    case 'KERNEL': return text((state) => state.device.sysname);
    case 'NAME?': return text((state) => state.name);
    case 'SUBSYSTEM': return text((state) => state.device.subsystem);
    case 'DRIVER': return text((state) => state.device.driver);
    case 'ENV?': return text((state) => propertyOf(state, attr) ?? state.host.globals.get(attr));
    case 'CONST': return text((state) => state.host.constant(attr));
    case 'RESULT': return text((state) => state.result);
    case 'SYMLINK?': return among((state) => state.links, matcher, wanted);
    case 'TAG?': return among((state) => state.currentTags, matcher, wanted);
    case 'ATTR?': {
      const compare = compileAttribute(token, matcher);
      return (state) => compare(state, state.device);
    }
    case 'SYSCTL?': return (state) => {
      const name = substitute(state, token.attrFormat ?? [attr], PATH_MAX);
      if (name === undefined) return false;
      state.saw = state.host.readSysctl(name) ?? '';
      return matcher(state.saw) === wanted;
    };
    case 'TEST': return (state) => pathExists(state, token);
    default: return undefined;
  }
}

/** Undefined for a token that does not look at the parents. */
export function compileParentMatch(token: Token): ParentTest | undefined {
  const matcher = token.pattern ? compilePattern(token.pattern, token.ignoreCase) : () => false;
  const wanted = token.op === '==';
  const text = (read: (device: Device) => string | undefined): ParentTest => (state, device) => matcher(state.saw = read(device) ?? '') === wanted;
  switch (token.key) {
    case 'KERNELS': return text((device) => device.sysname);
    case 'SUBSYSTEMS': return text((device) => device.subsystem);
    case 'DRIVERS': return text((device) => device.driver);
    case 'ATTRS': return compileAttribute(token, matcher);
    case 'TAGS': {
      const own = among((state) => state.currentTags, matcher, wanted);
      return (state, device) => device === state.device
        ? own(state)
        : among(() => state.host.record(device)?.currentTags ?? [], matcher, wanted)(state);
    }
    default: return undefined;
  }
}

/** `==`: one of them matches. `!=`: none does. */
function among(list: (state: EventState) => Iterable<string>, matcher: Matcher, wanted: boolean): Test {
  return (state) => {
    let found = false;
    let saw = '';
    for (const item of list(state)) {
      saw += saw === '' ? item : ` ${item}`;
      found ||= matcher(item);
    }
    state.saw = saw;
    return found === wanted;
  };
}

/** An attribute that is not there matches neither operator. */
function compileAttribute({ attr = '', attrFormat, op, value: wantedText }: Token, matcher: Matcher): ParentTest {
  const wanted = op === '==';
  const isReference = attrFormat === undefined && attr.startsWith('[');
  // Blanks at the end count only where the rule asks for some.
  const trim = !/\s$/.test(wantedText);
  return (state, device) => {
    const name = attrFormat === undefined ? attr : substitute(state, attrFormat, PATH_MAX);
    if (name === undefined) return false;
    const value = isReference ? resolveReference(state.host, name) : device.attribute(name);
    if (value === undefined) {
      state.saw = undefined;
      return false;
    }
    if (isReference && !fits(value, VALUE_MAX)) return false;
    state.saw = trim ? trimEndSpace(value) : value;
    return matcher(state.saw) === wanted;
  };
}

function pathExists(state: EventState, token: Token): boolean {
  const wanted = token.op === '==';
  const text = substitute(state, token.format ?? [token.value], PATH_MAX);
  state.saw = text;
  if (text === undefined) return false;
  const path = text.startsWith('/') ? text : resolveReferencePath(state.host, text) ?? `${state.device.syspath}/${text}`;
  const found = resolveStar(state.host, path);
  const mode = found === undefined ? undefined : state.host.modeOf(found);
  state.saw = found ?? path;
  if (mode === undefined) return !wanted;
  return (token.number === undefined || (mode & token.number) !== 0) === wanted;
}
