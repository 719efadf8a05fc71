// What came of an event, in the words of `udevadm test` and as an object.

import type { EventResult, RunEntry } from '../udev/rules/event-result.ts';

export type EventShown = {
  readonly syspath: string;
  readonly action: string;
  readonly result: EventResult;
  /** As programs see them and as they are broadcast. */
  readonly properties: ReadonlyMap<string, string>;
};

/** A line for each property, then one for each command of RUN. */
export function eventText(properties: ReadonlyMap<string, string>, run: readonly RunEntry[]): string {
  return [...[...properties].map(([key, value]) => `${key}=${value}\n`), ...run.map(({ command }) => `run: '${command}'\n`)].join('');
}

/** For JSON: what maps and sets hold, and the mode in octal. */
export function eventObject({ syspath, action, result, properties }: EventShown): Readonly<Record<string, unknown>> {
  const { mode, tags, currentTags, seclabels, databaseProperties, ...rest } = result;
  void databaseProperties;
  return {
    schema: 1, syspath, action, ...rest,
    properties: Object.fromEntries(properties), tags: [...tags], currentTags: [...currentTags], seclabels: Object.fromEntries(seclabels),
    mode: mode === undefined ? undefined : mode.toString(8).padStart(4, '0'),
  };
}
