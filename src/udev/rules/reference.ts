// `[subsystem/name]attribute` in rules: another device of the machine, or one of its attributes.

import type { Device } from '../device.ts';
import type { RulesHost } from './host.ts';

type Reference = { readonly device: Device | undefined; readonly attribute: string };

/** The value of the attribute, '' where the device has none of that name; undefined when `text` is no reference, or to no device. */
export function resolveReference(host: RulesHost, text: string): string | undefined {
  const reference = parseReference(host, text);
  if (!reference?.device || reference.attribute === '') return undefined;
  return reference.device.attribute(reference.attribute) ?? '';
}

/** The path that is meant; undefined when `text` is no reference, or to no device. */
export function resolveReferencePath(host: RulesHost, text: string): string | undefined {
  const reference = parseReference(host, text);
  if (!reference?.device) return undefined;
  return reference.attribute === '' ? reference.device.syspath : `${reference.device.syspath}/${reference.attribute}`;
}

function parseReference(host: RulesHost, text: string): Reference | undefined {
  if (!text.startsWith('[')) return undefined;
  const match = /^\[([^/]*)\/([^\]]*)\]\/?(.*)$/s.exec(text);
  if (!match) return undefined;
  const [, subsystem = '', sysname = '', attribute = ''] = match;
  return { device: host.lookup(subsystem, sysname), attribute };
}
