// What `$kernel`, `$attr{…}` and the others of a rule's text become in one event.

import type { Device } from '../device.ts';
import { ALLOWED_IN_INPUT, fits, replaceChars, replaceWhitespace, trimEndSpace } from '../sanitise.ts';
import { propertyOf } from './event-state.ts';
import type { EventState } from './event-state.ts';
import { resolveReference } from './reference.ts';
import type { Format, Substitution } from './rule.ts';

/** Bytes that udev has for a value, a path and a command, without the NUL. Longer texts are refused, not cut. */
export const VALUE_MAX = 511;
export const PATH_MAX = 1023;
export const COMMAND_MAX = 16383;

/**
 * The text of a format; undefined when it or one of the attributes in it is too long. `whitespace`: each substituted value has its blanks
 * trimmed and replaced, but not the result of a program, whose words are meant as a list.
 */
export function substitute(state: EventState, format: Format, maximum: number, { whitespace = false } = {}): string | undefined {
  let text = '';
  for (const part of format) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const value = valueOf(state, part);
    if (value === undefined) return undefined;
    text += whitespace && part.type !== 'result' ? replaceWhitespace(value) : value;
  }
  return fits(text, maximum) ? text : undefined;
}

/** '' for what there is not, undefined for what is too long. */
function valueOf(state: EventState, { type, argument = '' }: Substitution): string | undefined {
  const { device, host } = state;
  switch (type) {
    case 'devnode': return device.devname === undefined ? '' : `${host.roots.dev}/${device.devname}`;
    case 'attr': return attributeValue(state, argument);
    case 'env': return propertyOf(state, argument) ?? '';
    case 'kernel': return device.sysname;
    case 'number': return device.sysnum ?? '';
    case 'driver': return state.parent?.driver ?? '';
    case 'devpath': return device.devpath;
    case 'id': return state.parent?.sysname ?? '';
    case 'major': return String(device.devnum?.major ?? 0);
    case 'minor': return String(device.devnum?.minor ?? 0);
    case 'result': return resultPart(state.result ?? '', argument);
    case 'parent': return device.parent?.devname ?? '';
    case 'name': return state.name ?? device.devname ?? device.sysname;
    case 'links': return [...state.links].join(' ');
    case 'root': return host.roots.dev;
    case 'sys': return host.roots.sys;
  }
}

function attributeValue(state: EventState, name: string): string | undefined {
  const value = resolveReference(state.host, name) ?? state.device.attribute(name) ?? ownParent(state)?.attribute(name);
  if (value === undefined) return '';
  return fits(value, VALUE_MAX) ? replaceChars(trimEndSpace(value), ALLOWED_IN_INPUT) : undefined;
}

function ownParent({ device, parent }: EventState): Device | undefined {
  return parent === device ? undefined : parent;
}

/** `N`: the Nth word; `N+`: it and all that follows. */
function resultPart(result: string, argument: string): string {
  const match = /^([0-9]{1,9})(\+?)$/.exec(argument);
  const index = Number(match?.[1] ?? 0);
  if (index === 0) return result;
  const words = /\S+/g;
  for (let at = 1; ; at++) {
    const word = words.exec(result);
    if (!word) return '';
    if (at === index) return match?.[2] === '+' ? result.slice(word.index) : word[0];
  }
}
