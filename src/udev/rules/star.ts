// A `/*/` in the path of TEST or ATTR: the first directory in which the rest exists.

import type { RulesHost } from './host.ts';

/** The path with its first star component replaced; undefined when nothing fits, the path itself when it has none. */
export function resolveStar(host: Pick<RulesHost, 'namesIn' | 'modeOf'>, path: string): string | undefined {
  const at = path.indexOf('/*/');
  if (at < 0) return path;
  const directory = path.slice(0, at);
  const rest = path.slice(at + 2);
  for (const name of host.namesIn(directory)) {
    if (name.startsWith('.')) continue;
    const candidate = `${directory}/${name}${rest}`;
    if (host.modeOf(candidate) !== undefined) return candidate;
  }
  return undefined;
}
