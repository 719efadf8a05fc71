// The names of users and groups, from the texts of passwd(5) and group(5).

/** More lines than any machine has. */
export const NAMES_MAX = 100_000;

/** Name to id, of either file: the third field of each. Of two equal names the first counts; lines that are none are passed over. */
export function parseNames(text: string): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  let at = 0;
  for (let count = 0; at < text.length && count < NAMES_MAX; count++) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    const [name = '', , id = ''] = line.split(':', 3);
    if (name !== '' && !names.has(name) && /^[0-9]{1,10}$/.test(id) && Number(id) < 0xffffffff) names.set(name, Number(id));
  }
  return names;
}

/** Who exists on every machine, whatever its files say (systemd resolves them without asking). */
export const STANDARD_USERS: ReadonlyMap<string, number> = new Map([['root', 0], ['nobody', 65534]]);
export const STANDARD_GROUPS: ReadonlyMap<string, number> = new Map([['root', 0], ['nogroup', 65534]]);
