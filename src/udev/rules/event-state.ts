// One event while its rules run: what has been set so far, and what later lines will see of it.

import type { BuiltinOutcome } from '../builtin/builtin.ts';
import type { Device } from '../device.ts';
import type { DeviceRecord } from '../record.ts';
import type { EventResult, RunEntry, TraceEntry } from './event-result.ts';
import type { RulesHost } from './host.ts';
import type { RuleLine } from './rule.ts';

/** What the rules are applied to. */
export type RuleEvent = {
  readonly device: Device;
  readonly action: string;
  /** Of the uevent message; those of the device and the action when absent. */
  readonly properties?: ReadonlyMap<string, string>;
  /** What the database keeps of this device from earlier events. */
  readonly record?: DeviceRecord | undefined;
};

export type EventState = {
  readonly host: RulesHost;
  readonly device: Device;
  readonly action: string;
  readonly record: DeviceRecord | undefined;
  readonly properties: Map<string, string>;
  readonly databaseProperties: Map<string, string>;
  readonly tags: Set<string>;
  readonly currentTags: Set<string>;
  readonly links: Set<string>;
  linkPriority: number;
  name: string | undefined;
  owner: number | undefined;
  group: number | undefined;
  mode: number | undefined;
  readonly seclabels: Map<string, string>;
  readonly run: RunEntry[];
  watch: boolean | undefined;
  dbPersist: boolean;
  /** The keys that `:=` has closed. */
  readonly frozen: Set<string>;
  /** What the last PROGRAM said. */
  result: string | undefined;
  /** The device at which the last search of the parents ended. */
  parent: Device | undefined;
  /** Of the current line. */
  escape: 'unset' | 'none' | 'replace';
  /** Outcomes of builtins that run once. */
  readonly builtins: Map<string, BuiltinOutcome>;
  line: RuleLine | undefined;
  /** For the trace: what the current token compared with or wrote, and whether an assignment did not happen. */
  saw: string | undefined;
  outcome: 'applied' | 'refused' | 'failed';
  readonly trace: TraceEntry[] | undefined;
};

/** The state before the first line. */
export function startEvent(event: RuleEvent, host: RulesHost, trace: TraceEntry[] | undefined): EventState {
  const { device, action, record } = event;
  const state: EventState = {
    host, device, action, record, trace,
    properties: firstProperties(event, host),
    databaseProperties: new Map(),
    // What a device ever was tagged with stays; what it is tagged with now, the rules say anew.
    tags: new Set(record?.tags), currentTags: new Set(), links: new Set(), linkPriority: 0,
    name: undefined, owner: undefined, group: undefined, mode: undefined, seclabels: new Map(), run: [],
    watch: undefined, dbPersist: false, frozen: new Set(), result: undefined, parent: undefined, escape: 'unset', builtins: new Map(),
    line: undefined, saw: undefined, outcome: 'applied',
  };
  if (action === 'remove' && record) takeRecord(state, record);
  return state;
}

/** The properties of a device that no event gave any: what the kernel says, in the form in which programs see it. */
export function kernelProperties(device: Device, dev: string): Map<string, string> {
  const properties = new Map(device.properties);
  const { devpath, subsystem, devname } = device;
  properties.set('DEVPATH', devpath);
  if (subsystem !== undefined) properties.set('SUBSYSTEM', subsystem);
  if (devname !== undefined) properties.set('DEVNAME', `${dev}/${devname}`);
  return properties;
}

/** A property as rules see it: those that follow from links and tags are always up to date. */
export function propertyOf(state: EventState, key: string): string | undefined {
  switch (key) {
    case 'DEVLINKS': return linksText(state.links, state.host.roots.dev) ?? state.properties.get(key);
    case 'TAGS': return tagsText(state.tags);
    case 'CURRENT_TAGS': return tagsText(state.currentTags);
    default: return state.properties.get(key);
  }
}

/** `undefined` removes. A leading dot keeps a property out of the database. */
export function setProperty(state: EventState, key: string, value: string | undefined): void {
  if (value === undefined) {
    state.properties.delete(key);
    state.databaseProperties.delete(key);
  } else {
    state.properties.set(key, value);
    if (!key.startsWith('.')) state.databaseProperties.set(key, value);
  }
}

/** The environment of a program, and the properties that the event is broadcast with: DEVLINKS, TAGS and CURRENT_TAGS are added. */
export function fullProperties(result: Pick<EventResult, 'properties' | 'tags' | 'currentTags'> & { readonly links: Iterable<string> }, dev: string): Map<string, string> {
  const full = new Map(result.properties);
  const derived = { DEVLINKS: linksText(result.links, dev), TAGS: tagsText(result.tags), CURRENT_TAGS: tagsText(result.currentTags) };
  for (const [key, value] of Object.entries(derived)) if (value !== undefined) full.set(key, value);
  return full;
}

export function finishEvent(state: EventState): EventResult {
  const { properties, databaseProperties, tags, currentTags, links, linkPriority, name, owner, group, mode, seclabels, run, watch, dbPersist } = state;
  return {
    properties, databaseProperties, tags, currentTags, links: [...links], linkPriority, name, owner, group, mode, seclabels,
    run, watch, dbPersist,
  };
}

function firstProperties({ device, action, properties }: RuleEvent, { roots }: RulesHost): Map<string, string> {
  const first = properties === undefined ? kernelProperties(device, roots.dev) : new Map(properties);
  first.set('ACTION', action);
  // The kernel writes the name below /dev.
  const devname = first.get('DEVNAME');
  if (devname !== undefined && !devname.startsWith('/')) first.set('DEVNAME', `${roots.dev}/${devname}`);
  return first;
}

/** A device that goes is as it was: only the database still knows. */
function takeRecord(state: EventState, record: DeviceRecord): void {
  for (const [key, value] of record.properties) setProperty(state, key, value);
  for (const tag of record.currentTags) state.currentTags.add(tag);
  for (const link of record.links) state.links.add(link);
  state.linkPriority = record.linkPriority;
  if (record.initialisedUsec > 0) state.properties.set('USEC_INITIALIZED', String(record.initialisedUsec));
}

function linksText(links: Iterable<string>, dev: string): string | undefined {
  let text = '';
  for (const link of links) text += `${text === '' ? '' : ' '}${dev}/${link}`;
  return text === '' ? undefined : text;
}

function tagsText(tags: Iterable<string>): string | undefined {
  let text = '';
  for (const tag of tags) text += `:${tag}`;
  return text === '' ? undefined : `${text}:`;
}
