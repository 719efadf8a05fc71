// Names of links below /dev, as rules write them.

import { normalDevName } from '../link-name.ts';

/**
 * The name below `dev`: `./` and doubled slashes go, as does `dev` itself in front. Undefined for what would be elsewhere: an absolute
 * path of another place, and whatever `normalDevName` refuses.
 */
export function normaliseLink(text: string, dev: string): string | undefined {
  const below = text.startsWith(`${dev}/`) ? text.slice(dev.length + 1) : text;
  return below.startsWith('/') ? undefined : normalDevName(below);
}
