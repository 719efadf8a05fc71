// One event as `udevadm monitor` shows it, from the kernel or from udev: which ones, and in which words.

export type HeardEvent = {
  readonly source: 'kernel' | 'udev';
  /** Of CLOCK_MONOTONIC, in milliseconds, when it came. */
  readonly time: number;
  /** In the order of the message. */
  readonly properties: ReadonlyMap<string, string>;
};

export type HeardFilter = {
  /** One of them; all where there is none. */
  readonly subsystems: readonly { readonly subsystem: string; readonly devtype: string | undefined }[];
  /** One of them; all where there is none. */
  readonly tags: readonly string[];
};

/** `SUBSYSTEM[/DEVTYPE]`. */
export function parseSubsystemFilter(text: string): HeardFilter['subsystems'][number] {
  const slash = text.indexOf('/');
  return slash < 0 ? { subsystem: text, devtype: undefined } : { subsystem: text.slice(0, slash), devtype: text.slice(slash + 1) };
}

/** `tags`: those that the device ever had, of the message or, for the kernel's, of the database. */
export function isHeard({ properties }: HeardEvent, filter: HeardFilter, tags: () => Iterable<string>): boolean {
  const subsystem = properties.get('SUBSYSTEM');
  const devtype = properties.get('DEVTYPE');
  const { subsystems } = filter;
  if (subsystems.length > 0 && !subsystems.some((each) => each.subsystem === subsystem && (each.devtype === undefined || each.devtype === devtype))) return false;
  if (filter.tags.length === 0) return true;
  for (const tag of tags()) if (filter.tags.includes(tag)) return true;
  return false;
}

/** The tags of a property: `:a:b:`. */
export function tagsOf(text: string | undefined): readonly string[] {
  return text === undefined ? [] : text.split(':').filter((tag) => tag !== '');
}

/** udevadm's line, and with `withProperties` those below it and a blank line. */
export function heardText({ source, time, properties }: HeardEvent, withProperties: boolean): string {
  const seconds = Math.floor(time / 1000);
  const micros = Math.floor((time - seconds * 1000) * 1000);
  const of = (key: string): string => properties.get(key) ?? '';
  const line = `${source.toUpperCase().padEnd(6)}[${seconds}.${String(micros).padStart(6, '0')}] ${of('ACTION').padEnd(8)} ${of('DEVPATH')} (${of('SUBSYSTEM')})\n`;
  return withProperties ? `${line}${[...properties].map(([key, value]) => `${key}=${value}\n`).join('')}\n` : line;
}

/** The same as one line of JSON. */
export function heardJson({ source, time, properties }: HeardEvent): string {
  const of = (key: string): string | undefined => properties.get(key);
  return `${JSON.stringify({
    schema: 1, source, time: time / 1000, action: of('ACTION'), devpath: of('DEVPATH'), subsystem: of('SUBSYSTEM'), properties: Object.fromEntries(properties),
  })}\n`;
}
