// What may be assigned: the values of OPTIONS, and the properties that are udev's own.

import { ERRNO_TEXTS, parseInteger, parseUnsigned } from './numbers.ts';
import type { Token } from './rule.ts';

export type Option =
  | { readonly type: 'option'; readonly token: Pick<Token, 'key' | 'attr' | 'value' | 'number'> }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'unknown' };

/** One value of OPTIONS. */
export function parseOption(text: string): Option {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? undefined : text.slice(equals + 1);
  if (value === undefined) return FLAGS.includes(name) ? option(name, '') : { type: 'unknown' };
  switch (name) {
    case 'string_escape': return value === 'none' || value === 'replace' ? option(name, value) : { type: 'unknown' };
    case 'static_node': return { type: 'option', token: { key: 'static_node', value } };
    case 'link_priority': {
      const priority = parseInteger(value);
      return typeof priority === 'number' ? option(name, value, priority) : failed('link priority', value, ERRNO_TEXTS[priority]);
    }
    case 'log_level': {
      const level = value === 'reset' ? LOG_LEVEL_RESET : logLevelOf(value);
      return level === undefined ? failed('log level', value, ERRNO_TEXTS.EINVAL) : option(name, value, level);
    }
    default: return { type: 'unknown' };
  }
}

/** Whether rules may set this property; the others say what the device is. */
export function isSettableProperty(name: string): boolean {
  return !OWN_PROPERTIES.has(name);
}

/** The order in which udev runs the options of a line, whatever their order in the text. */
export const OPTION_ORDER: readonly string[] = ['dump', 'string_escape', 'db_persist', 'watch', 'link_priority', 'log_level'];

/** `dump` since udev 258. */
const FLAGS = ['db_persist', 'watch', 'nowatch', 'dump'];

/** The number of OPTIONS="log_level=reset". */
export const LOG_LEVEL_RESET = -1;

/** syslog(3): 0 to 7. */
const LOG_LEVELS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'];

const OWN_PROPERTIES: ReadonlySet<string> = new Set([
  'ACTION', 'DEVLINKS', 'DEVNAME', 'DEVPATH', 'DEVTYPE', 'DRIVER', 'IFINDEX', 'MAJOR', 'MINOR', 'SEQNUM', 'SUBSYSTEM', 'TAGS',
]);

function option(attr: string, value: string, number?: number): Option {
  return { type: 'option', token: { key: 'OPTIONS', attr, value, ...(number !== undefined && { number }) } };
}

function failed(what: string, value: string, text: string): Option {
  return { type: 'error', message: `Failed to parse ${what} '${value}': ${text}` };
}

function logLevelOf(text: string): number | undefined {
  const named = LOG_LEVELS.indexOf(text);
  if (named >= 0) return named;
  const number = parseUnsigned(text);
  return typeof number === 'number' && number < LOG_LEVELS.length ? number : undefined;
}
