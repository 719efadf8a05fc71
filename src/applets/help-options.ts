// What a --help text says of the options of its command: their spellings, and the first line of what each does.

export type HelpOption = {
  /** As they are typed: `-n`, `--dry-run`. */
  readonly spellings: readonly string[];
  /** '' where there is none. */
  readonly summary: string;
};

/** A spelling and its value: `-n`, `--modules=PATH`, `--attr-match=FILE[=VALUE]`, `--json=pretty|short`, `--disk FILE[,OPT]`, `--kvm auto|off`. */
const SPELLING = /^(--[a-z][\w-]*|-\w)(?:\[?=\S*[^\s,]| [A-Z]+(?![a-z])[^\s,]*(?:,[A-Z]+\])?| [a-z]+(?:\|[a-z]+)+)?/;

/** Lines that begin with blanks and a dash name options. */
export function parseHelpOptions(help: string): HelpOption[] {
  const lines = help.split('\n');
  return lines.flatMap((line, i) => {
    if (!/^ {1,8}-[-\w]/.test(line)) return [];
    const spellings: string[] = [];
    let rest = line.trim();
    for (let match = SPELLING.exec(rest); match; match = SPELLING.exec(rest)) {
      spellings.push(match[1] ?? '');
      rest = rest.slice(match[0].length).replace(/^,? +(?=-)|^,$/, '');
    }
    const next = lines[i + 1] ?? '';
    return [{ spellings, summary: (rest.trim() === '' && /^ {12,}[^\s-]/.test(next) ? next : rest).trim() }];
  });
}
