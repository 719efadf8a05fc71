// Names of links below /dev, as rules write them.

/**
 * The name below `dev`: `./` and doubled slashes go, as does `dev` itself in front. Undefined for what would be elsewhere: an absolute
 * path of another place, `..`, or nothing at all.
 */
export function normaliseLink(text: string, dev: string): string | undefined {
  const below = text.startsWith(`${dev}/`) ? text.slice(dev.length + 1) : text;
  if (below.startsWith('/') || below.includes('\0')) return undefined;
  const parts = below.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length === 0 || parts.includes('..') ? undefined : parts.join('/');
}
