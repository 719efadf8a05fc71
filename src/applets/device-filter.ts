// The options by which udevadm is told which devices are meant.

import type { AttributeMatch, TriggerFilter } from '../udev/trigger.ts';
import type { DevicePrefix } from './device-argument.ts';
import type { OptionSpec, ParsedOption } from './getopt.ts';

export const FILTER_OPTIONS: readonly OptionSpec[] = [
  { long: 'subsystem-match', short: 's', argument: 'required' },
  { long: 'subsystem-nomatch', short: 'S', argument: 'required' },
  { long: 'attr-match', short: 'a', argument: 'required' },
  { long: 'attr-nomatch', short: 'A', argument: 'required' },
  { long: 'property-match', short: 'p', argument: 'required' },
  { long: 'tag-match', short: 'g', argument: 'required' },
  { long: 'sysname-match', short: 'y', argument: 'required' },
  { long: 'name-match', argument: 'required' },
  { long: 'parent-match', short: 'b', argument: 'required' },
  { long: 'initialized-match' },
  { long: 'initialized-nomatch' },
];

/** A device as it was typed, with what a bare name is below. */
export type NamedParent = { readonly text: string; readonly prefix?: DevicePrefix };

/** What the options ask of a device itself; the parents are `namedParents`. */
export function parseDeviceFilter(options: readonly ParsedOption[]): TriggerFilter {
  const all = (wanted: string): string[] => options.filter(({ name }) => name === wanted).map(({ value }) => value);
  const initialised = options.findLast(({ name }) => name.startsWith('initialized-'))?.name;
  return {
    subsystems: all('subsystem-match'), notSubsystems: all('subsystem-nomatch'),
    attributes: all('attr-match').map(attributeMatch), notAttributes: all('attr-nomatch').map(attributeMatch),
    properties: all('property-match').map(splitMatch).map(([key, value]) => ({ key, value })),
    tags: all('tag-match'), sysnames: all('sysname-match'), parents: [],
    initialised: initialised === undefined ? undefined : initialised === 'initialized-match',
  };
}

/** The devices of --name-match and --parent-match, in their order. */
export function namedParents(options: readonly ParsedOption[]): readonly NamedParent[] {
  return options.flatMap(({ name, value }): readonly NamedParent[] => {
    if (name === 'name-match') return [{ text: value, prefix: 'dev' }];
    return name === 'parent-match' ? [{ text: value, prefix: 'sys' }] : [];
  });
}

function attributeMatch(text: string): AttributeMatch {
  const [name, value] = splitMatch(text);
  return { name, value };
}

function splitMatch(text: string): readonly [string, string | undefined] {
  const equals = text.indexOf('=');
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)];
}
