// Spans of time as systemd's tools take them: `5`, `1.5`, `2min 30s`, `infinity`.

const UNITS: Readonly<Record<string, number>> = {
  us: 0.001, usec: 0.001, ms: 1, msec: 1, '': 1000, s: 1000, sec: 1000, second: 1000, seconds: 1000, m: 60_000, min: 60_000, minute: 60_000, minutes: 60_000,
  h: 3_600_000, hr: 3_600_000, hour: 3_600_000, hours: 3_600_000, d: 86_400_000, day: 86_400_000, days: 86_400_000, w: 604_800_000, week: 604_800_000, weeks: 604_800_000,
};
const TEXT_MAX = 100;

/** Milliseconds, Infinity for `infinity`; undefined for what is none. A number without a unit is seconds. */
export function parseTimeSpan(text: string): number | undefined {
  const span = text.trim();
  if (span === 'infinity') return Infinity;
  if (span === '' || span.length > TEXT_MAX) return undefined;
  const part = /(\d+(?:\.\d+)?)\s*([a-z]*)\s*/y;
  let ms = 0;
  while (part.lastIndex < span.length) {
    const [, number = '', unit = ''] = part.exec(span) ?? [];
    const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
    if (number === '' || factor === undefined) return undefined;
    ms += Number(number) * factor;
  }
  return ms;
}

/** systemd's words for yes and no; undefined for others. */
export function parseBoolean(text: string): boolean | undefined {
  const word = text.toLowerCase();
  if (['1', 'yes', 'y', 'true', 't', 'on'].includes(word)) return true;
  return ['0', 'no', 'n', 'false', 'f', 'off'].includes(word) ? false : undefined;
}
