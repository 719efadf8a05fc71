// The text of a .link file: which network interface it is for and what it says of its names and its address (systemd.link(5)).

/** Lists are globs; one that starts with `!` is turned round as a whole. */
export type LinkMatch = {
  readonly key: string;
  readonly values: readonly string[];
  readonly negated: boolean;
};

export type LinkConfig = {
  readonly file: string;
  /** All must fit. */
  readonly match: readonly LinkMatch[];
  /** In order; the first that gives a name counts. undefined: nothing said. */
  readonly namePolicy: readonly string[] | undefined;
  readonly name: string | undefined;
  /** undefined: `none`. */
  readonly macAddressPolicy: 'persistent' | 'random' | undefined;
  /** Of 6 bytes, or the 20 of InfiniBand; counts where no policy is. */
  readonly macAddress: Uint8Array | undefined;
  /** All that give a name count. */
  readonly alternativeNamesPolicy: readonly string[];
  readonly alternativeNames: readonly string[];
  readonly problems: readonly { readonly line: number; readonly message: string }[];
};

export const NAME_POLICIES: readonly string[] = ['kernel', 'keep', 'database', 'onboard', 'slot', 'path', 'mac'];
const ALTERNATIVE_POLICIES: readonly string[] = NAME_POLICIES.slice(2);
const ADDRESS_LENGTHS: readonly number[] = [6, 20];
/** linux/if.h: ALTIFNAMSIZ without the NUL. */
const ALTERNATIVE_NAME_MAX = 127;

/** Those of [Match] that only say something of the machine or need more than sysfs: a file with one of them is not applied. */
export const UNSUPPORTED_MATCHES: readonly string[] = ['PermanentMACAddress', 'Kind', 'Host', 'Virtualization', 'Credential', 'Firmware'];

const MATCHES: readonly string[] = [
  'MACAddress', 'Path', 'Driver', 'Type', 'Property', 'OriginalName', 'KernelCommandLine', 'KernelVersion', 'Architecture', ...UNSUPPORTED_MATCHES,
];

/** Lines that are read. */
const MAX_LINES = 65536;

/** Unknown sections and keys are those of other programs, or set what is not ours to set (speed, offload). */
export function parseLinkConfig(text: string, file: string): LinkConfig {
  const problems: { line: number; message: string }[] = [];
  const match = new Map<string, LinkMatch>();
  let namePolicy: readonly string[] | undefined;
  let name: string | undefined;
  let macAddressPolicy: 'persistent' | 'random' | undefined;
  let macAddress: Uint8Array | undefined;
  let alternativeNamesPolicy: readonly string[] = [];
  let alternativeNames: readonly string[] = [];
  let section = '';
  for (const { line, text: content } of logicalLines(text)) {
    const head = /^\[([^\]]*)\]$/.exec(content)?.[1];
    if (head !== undefined) {
      section = head;
      continue;
    }
    const equals = content.indexOf('=');
    if (equals < 0) {
      problems.push({ line, message: 'Missing \'=\', ignoring line.' });
      continue;
    }
    const key = content.slice(0, equals).trimEnd();
    const value = content.slice(equals + 1).trim();
    if (section === 'Match' && MATCHES.includes(key)) {
      addMatch(match, key, value);
    } else if (section === 'Link' && key === 'NamePolicy') {
      const words = splitWords(value);
      const unknown = words.filter((word) => !NAME_POLICIES.includes(word));
      if (unknown.length > 0) problems.push({ line, message: `Unknown name policy ${unknown.join(' ')}, ignoring.` });
      namePolicy = value === '' ? undefined : words.filter((word) => NAME_POLICIES.includes(word));
    } else if (section === 'Link' && key === 'Name') {
      if (value === '' || isInterfaceName(value)) name = value === '' ? undefined : value;
      else problems.push({ line, message: `Interface name is not valid, ignoring assignment: ${value}` });
    } else if (section === 'Link' && key === 'MACAddressPolicy') {
      if (value === 'persistent' || value === 'random') macAddressPolicy = value;
      else if (value === 'none' || value === '') macAddressPolicy = undefined;
      else problems.push({ line, message: `Failed to parse MAC address policy, ignoring: ${value}` });
    } else if (section === 'Link' && key === 'MACAddress') {
      const address = value === '' ? undefined : parseHardwareAddress(value);
      if (value === '' || address) macAddress = address;
      else problems.push({ line, message: `Not a valid hardware address, ignoring assignment: ${value}` });
    } else if (section === 'Link' && key === 'AlternativeNamesPolicy') {
      const words = splitWords(value);
      const unknown = words.filter((word) => !ALTERNATIVE_POLICIES.includes(word));
      if (unknown.length > 0) problems.push({ line, message: `Unknown policy of alternative names ${unknown.join(' ')}, ignoring.` });
      alternativeNamesPolicy = value === '' ? [] : [...alternativeNamesPolicy, ...words.filter((word) => !unknown.includes(word))];
    } else if (section === 'Link' && key === 'AlternativeName') {
      const words = splitWords(value);
      const bad = words.filter((word) => !isInterfaceName(word, ALTERNATIVE_NAME_MAX));
      for (const word of bad) problems.push({ line, message: `Interface name is not valid or too long, ignoring assignment: ${word}` });
      alternativeNames = value === '' ? [] : [...alternativeNames, ...words.filter((word) => !bad.includes(word))];
    }
  }
  if (macAddressPolicy !== undefined && macAddress) problems.push({ line: 0, message: 'MACAddress= in [Link] section will be ignored when MACAddressPolicy= is set to "persistent" or "random".' });
  return { file, match: [...match.values()], namePolicy, name, macAddressPolicy, macAddress, alternativeNamesPolicy, alternativeNames, problems };
}

/** Whether the kernel and udev take it as the name of an interface (linux/netdevice.h: dev_valid_name, and more for safety). */
export function isInterfaceName(name: string, lengthMax = 15): boolean {
  if (name.length === 0 || name.length > lengthMax || name === '.' || name === '..' || name === 'all' || name === 'default') return false;
  // Numbers alone would be taken for an index; `%` is a template for the kernel.
  return !/^[0-9]+$/.test(name) && /^[!-~]+$/.test(name) && !/[:/%]/.test(name);
}

/** `52:54:00:12:34:56`, `52-54-…` and `5254.0012.3456` are the same; undefined for what is no address. */
export function parseHardwareAddress(text: string): Uint8Array | undefined {
  const separator = /[:.-]/.exec(text)?.[0] ?? ':';
  const width = separator === '.' ? 4 : 2;
  const parts = text.split(separator);
  if (!parts.every((part) => part.length > 0 && part.length <= width && /^[0-9a-f]+$/i.test(part))) return undefined;
  const bytes = Buffer.from(parts.map((part) => part.padStart(width, '0')).join(''), 'hex');
  return ADDRESS_LENGTHS.includes(bytes.length) ? bytes : undefined;
}

/** An empty value takes back what was said before; further lines add to the list. */
function addMatch(match: Map<string, LinkMatch>, key: string, value: string): void {
  if (value === '') {
    match.delete(key);
    return;
  }
  const negated = value.startsWith('!') && key !== 'Property';
  const words = splitWords(negated ? value.slice(1) : value);
  const before = match.get(key);
  match.set(key, { key, values: [...(before?.values ?? []), ...words], negated: before?.negated ?? negated });
}

type LogicalLine = { readonly line: number; readonly text: string };

/** Trimmed, without comments and empty lines, continued ones joined by a blank. */
function* logicalLines(text: string): Generator<LogicalLine> {
  let open: LogicalLine | undefined;
  for (const [index, raw] of text.split('\n', MAX_LINES).entries()) {
    const trimmed = raw.trim();
    if (/^[#;]/.test(trimmed)) continue;
    const joined: LogicalLine = open ? { line: open.line, text: `${open.text} ${trimmed}` } : { line: index + 1, text: trimmed };
    open = joined.text.endsWith('\\') ? { ...joined, text: joined.text.slice(0, -1).trimEnd() } : undefined;
    if (!open && joined.text !== '') yield joined;
  }
  if (open) yield open;
}

/** Words, where quotes may hold blanks. */
function splitWords(text: string): string[] {
  return [...text.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}
