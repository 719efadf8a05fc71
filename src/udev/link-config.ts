// The text of a .link file: which network interface it is for and what it says of its name (systemd.link(5)).

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
  /** Read, and left to who sets addresses. */
  readonly macAddressPolicy: string | undefined;
  readonly problems: readonly { readonly line: number; readonly message: string }[];
};

export const NAME_POLICIES: readonly string[] = ['kernel', 'keep', 'database', 'onboard', 'slot', 'path', 'mac'];

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
  let macAddressPolicy: string | undefined;
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
      macAddressPolicy = value === '' ? undefined : value;
    }
  }
  return { file, match: [...match.values()], namePolicy, name, macAddressPolicy, problems };
}

/** Whether the kernel and udev take it as the name of an interface (linux/netdevice.h: dev_valid_name, and more for safety). */
export function isInterfaceName(name: string): boolean {
  if (name.length === 0 || name.length > 15 || name === '.' || name === '..' || name === 'all' || name === 'default') return false;
  // Numbers alone would be taken for an index; `%` is a template for the kernel.
  return !/^[0-9]+$/.test(name) && /^[!-~]+$/.test(name) && !/[:/%]/.test(name);
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
