// The symbols of a kernel image, from Module.symvers or from System.map.

/** One symbol that the kernel itself exports. `namespace` is '' where it has none, or none is told. */
export type KernelSymbol = { readonly name: string; readonly crc: number; readonly namespace: string };

export type SymbolList = {
  readonly symbols: readonly KernelSymbol[];
  readonly problems: readonly { readonly line: number; readonly message: string }[];
};

/** Lines `0xCRC SYMBOL vmlinux TYPE [NAMESPACE]`, blanks between; other places than vmlinux are modules. */
export function parseSymvers(text: string, file: string): SymbolList {
  const symbols: KernelSymbol[] = [];
  const problems: { line: number; message: string }[] = [];
  text.split('\n').forEach((content, index) => {
    const [version, name, where, ...rest] = content.split(/[ \t]+/).filter((word) => word !== '');
    // The end of the line belongs to the word before it, so that kmod wants a word or a blank after "vmlinux".
    if (version === undefined || name === undefined || where !== 'vmlinux' || (rest.length === 0 && content.endsWith('vmlinux'))) return;
    if (/^[+-]?(?:0x)?[0-9a-f]+$/i.test(version)) {
      symbols.push({ name, crc: crcOf(version), namespace: rest[1] ?? '' });
    } else {
      problems.push({ line: index + 1, message: `${file}:${index + 1} Invalid symbol version ${version}: Success` });
    }
  });
  return { symbols, problems };
}

/** Lines `ADDRESS TYPE __ksymtab_SYMBOL`; other symbols are not exported. A letter of `prefix` before the name is skipped. */
export function parseSystemMap(text: string, file: string, prefix?: string): SymbolList {
  const symbols: KernelSymbol[] = [];
  const problems: { line: number; message: string }[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  lines.forEach((content, index) => {
    const second = content.indexOf(' ', content.indexOf(' ') + 1);
    if (second <= content.indexOf(' ')) {
      problems.push({ line: index + 1, message: `${file}:${index + 1}: invalid line: ${content}` });
      return;
    }
    const word = content.slice(second + 1);
    const name = prefix !== undefined && word.startsWith(prefix) ? word.slice(prefix.length) : word;
    if (name.startsWith('__ksymtab_')) symbols.push({ name: name.slice('__ksymtab_'.length), crc: 0, namespace: '' });
  });
  return { symbols, problems };
}

function crcOf(text: string): number {
  const negative = text.startsWith('-');
  const value = Number.parseInt(text.replace(/^[+-]/, ''), 16);
  // Beyond 32 bits no module can agree.
  return negative || value > 0xffff_ffff ? -1 : value;
}
