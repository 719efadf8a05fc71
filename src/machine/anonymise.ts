// Takes from the text of a recording what tells one machine from its like: serial numbers, MAC addresses, UUIDs, host names.

/** What a property or attribute holds, by its name. Those of DMI, SCSI, NVMe, MMC, USB, HID, batteries, disks and udev's own. */
const SERIAL = /^(?:.*serial(?:_number|_short)?|wwid|wwn|eui|nguid|cid|uniq|unique_id|.*_asset_tag|subsysnqn|hostnqn|hid_uniq|id_wwn.*|dm_uuid|md_uuid)$/i;
const UUID_NAME = /^(?:.*_)?uuid(?:_sub|_enc|_sub_enc)?$/i;
/** Binary pages that hold serial numbers. */
const HIDDEN_BINARY = /^(?:.*\/)?(?:vpd_pg[0-9a-f]+|edid|inquiry)$/;
const HOST_NAME = /^proc\/sys\/kernel\/hostname$/;

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;
const MAC = /\b[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}\b/gi;
/** Of a name that udev gave an interface, and of ID_NET_NAME_MAC. */
const NAMED_MAC = /\b((?:en|wl|ww|ib|sl)x)([0-9a-f]{12})\b/gi;
/** No hardware has these: loopback, broadcast. */
const NO_MAC = /^(?:00|ff)(?:[:-]?(?:00|ff)){5}$/i;

/** Shorter values are replaced where they stand only: elsewhere they would be anything. So are numbers below the second. */
const GLOBAL_MIN = 5;
const GLOBAL_NUMBER_MIN = 8;

/** Words of the field, which a host may be called by. */
const FIELD_WORDS = /^E: (?:SUBSYSTEM|DEVTYPE|DRIVER)=(.*)$/gm;

/**
 * The same value becomes the same replacement throughout all texts that one of these is given. `text` is a whole recording first,
 * then lines that are appended to it.
 */
export function openAnonymiser(): (text: string) => string {
  const replacements = new Map<string, string>();
  const counts = new Map<string, number>();
  const protectedWords = new Set<string>();
  /** Replaced wherever they are a word. */
  const everywhere = new Set<string>();
  const count = (kind: string): number => {
    const number = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, number);
    return number;
  };
  const replacement = (value: string, make: () => string): string => {
    const key = value.toLowerCase();
    let found = replacements.get(key);
    if (found === undefined) replacements.set(key, found = make());
    return found;
  };
  const uuidOf = (value: string) => replacement(value, () => `00000000-0000-4000-8000-${hex(count('uuid'), 12)}`);
  /** By their digits: a MAC address is written in three ways. */
  const macOf = (value: string) => replacement(value.replaceAll(/[:-]/g, ''), () => `0200${hex(count('mac'), 8)}`);
  const learn = (name: string, value: string): void => {
    const kind = kindOf(name);
    // A number of the PCI bus is what host controllers have for a serial number.
    const isAddress = kind !== 'host' && protectedWords.has(value.toLowerCase());
    if (kind === undefined || isGeneral(value) || isAddress || matchesWhole(UUID, value) || matchesWhole(MAC, value)) return;
    replacement(value, () => (kind === 'host' ? `host${count(kind)}` : kind === 'id' ? uuidLike(value, count(kind)) : `SERIAL${String(count(kind)).padStart(4, '0')}`));
    if (value.length >= (/^\d+$/.test(value) ? GLOBAL_NUMBER_MIN : GLOBAL_MIN) && !protectedWords.has(value.toLowerCase())) everywhere.add(value.toLowerCase());
  };

  return (text) => {
    for (const [, devpath = ''] of text.matchAll(/^P: (.*)$/gm)) for (const part of devpath.split('/')) protectedWords.add(part.toLowerCase());
    for (const [, word = ''] of text.matchAll(FIELD_WORDS)) protectedWords.add(word.toLowerCase());
    for (const { name, value } of namedValues(text)) {
      learn(name, value);
      // ID_SERIAL and by-id links have them with blanks made underscores.
      if (/\s/.test(value)) learn(name, value.trim().replaceAll(/\s+/g, '_'));
    }
    let result = text.replace(/^H: ([^=\n]+)=.*$/gm, (line, name: string) => (HIDDEN_BINARY.test(name) ? `H: ${name}=` : line));
    result = result.replace(/(^[EA]: |\\nE:)([^=\n\\]+)=([^\n\\]*)/gm, (all, head: string, name: string, value: string) => {
      const found = kindOf(name) === undefined || isGeneral(value.trim()) ? undefined : replacements.get(value.trim().toLowerCase());
      return found === undefined ? all : `${head}${name}=${value.replace(value.trim(), found)}`;
    });
    result = result.replace(UUID, (value) => (/^[0-]+$/.test(value) ? value : uuidOf(value)));
    result = result.replace(MAC, (value: string, separator: string) => (NO_MAC.test(value) ? value : (macOf(value).match(/../g) ?? []).join(separator)));
    result = result.replace(NAMED_MAC, (_, prefix: string, digits: string) => prefix + macOf(digits));
    return replaceWords(result, everywhere, replacements);
  };
}

/** What a name says that the value is. */
function kindOf(name: string): 'host' | 'id' | 'serial' | undefined {
  const last = name.slice(name.lastIndexOf('/') + 1);
  return HOST_NAME.test(name) ? 'host' : UUID_NAME.test(last) ? 'id' : SERIAL.test(last) ? 'serial' : undefined;
}

/** In the lines of devices, and in the files of the database, whose newlines are escaped. */
function* namedValues(text: string): Generator<{ readonly name: string; readonly value: string }> {
  for (const [, line = ''] of text.matchAll(/^[EA]: (.*)$/gm)) {
    const equals = line.indexOf('=');
    const name = line.slice(0, equals);
    const values = line.slice(equals + 1).split('\\n');
    yield { name, value: (values[0] ?? '').trim() };
    for (const value of values) {
      const [, key = '', rest = ''] = /^(?:E:)?([A-Za-z_0-9]+)=(.*)$/.exec(value) ?? [];
      if (key !== '') yield { name: key, value: rest.trim() };
    }
  }
}

/** Says nothing of one machine: empty, or a filler. */
function isGeneral(value: string): boolean {
  return value.length < 2 || /^(?:0+|0x0+|none|not (?:specified|applicable|available)|to be filled.*|default string|unknown|localhost|\(none\)|\(null\))$/i.test(value);
}

function matchesWhole(pattern: RegExp, value: string): boolean {
  return value.match(pattern)?.[0] === value;
}

/** One pass over the text, longest first: a serial number may hold another. */
function replaceWords(text: string, everywhere: ReadonlySet<string>, replacements: ReadonlyMap<string, string>): string {
  if (everywhere.size === 0) return text;
  const words = [...everywhere].sort((a, b) => b.length - a.length).map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`(?<![0-9A-Za-z])(?:${words.join('|')})(?![0-9A-Za-z])`, 'gi');
  // Not of the kernel's release, which is no host's name.
  return text.split('\n').map((line) => (line.startsWith('A: proc/sys/kernel/osrelease=') ? line : line.replace(pattern, (word) => replacements.get(word.toLowerCase()) ?? word))).join('\n');
}

/** As long, and of the same kind: the volume id of FAT is 1234-ABCD. */
function uuidLike(value: string, number: number): string {
  const digits = hex(number, value.replaceAll(/[^0-9a-z]/gi, '').length);
  let at = 0;
  return value.replaceAll(/[0-9a-z]/gi, () => digits[at++] ?? '0');
}

function hex(number: number, length: number): string {
  return number.toString(16).padStart(length, '0').slice(-length);
}
