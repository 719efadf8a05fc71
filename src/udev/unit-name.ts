// Names of systemd's device units, such as dev-sda.device, as the paths that they stand for (systemd.unit(5), "String escaping").

const SUFFIX = '.device';
/** What a unit's name may hold; `@` makes it one of a template, which devices have none of. */
const PLAIN_NAME = /^[0-9A-Za-z:_.\\-]{1,255}$/;

/** The absolute path, or undefined for what is not the name of a device unit. */
export function pathOfDeviceUnit(name: string): string | undefined {
  if (!PLAIN_NAME.test(name) || !name.endsWith(SUFFIX) || name.length === SUFFIX.length) return undefined;
  const escaped = name.slice(0, -SUFFIX.length);
  if (escaped === '-') return '/';
  const parts = escaped.split('-').map(unescape);
  return parts.every((part) => part !== undefined && !['', '.', '..'].includes(part) && !part.includes('/')) ? `/${parts.join('/')}` : undefined;
}

/** Undefined for a backslash that begins no byte, and for a NUL. */
function unescape(text: string): string | undefined {
  if (!/^(?:[^\\]|\\x[0-9A-Fa-f]{2})*$/.test(text) || text.includes(String.raw`\x00`)) return undefined;
  const bytes = text.match(/\\x..|[^\\]/g) ?? [];
  return Buffer.from(bytes.map((each) => (each.length === 1 ? each.charCodeAt(0) : Number.parseInt(each.slice(2), 16)))).toString('utf8');
}
