// Command lines as getopt_long(3) of glibc reads them: options after operands, unique prefixes, `--`, its error texts.

import { UsageError } from '../errors.ts';

export type OptionSpec = {
  /** The long name without dashes; also the name that the result carries. */
  readonly long: string;
  /** One character. */
  readonly short?: string;
  /** `optional`: only in the same word, as `--long=value` or `-svalue`. */
  readonly argument?: 'required' | 'optional' | 'none';
  /** Taken by its whole name only: an option of ours, which leaves to kmod's options the beginnings that they have alone. */
  readonly exact?: boolean;
  /** The name that the result carries instead of `long`: for an old spelling of another option. */
  readonly name?: string;
};

export type ParsedOption = {
  readonly name: string;
  /** '' for an option without argument. */
  readonly value: string;
};

/** Every tool answers these before it has seen what comes after them. */
const ANSWERED_AT_ONCE: ReadonlySet<string> = new Set(['help', 'version']);

export type CommandLine = { readonly options: readonly ParsedOption[]; readonly operands: readonly string[] };

export type GetoptOptions = {
  /** Stop at the first operand, as for a command that gets the rest of the line (POSIXLY_CORRECT asks for it too). */
  readonly stopAtOperand?: boolean;
};

/** Reading ends at --help and --version. Throws UsageError with the text that getopt_long prints, which starts with `program`. */
export function getopt(
  argv: readonly string[], specs: readonly OptionSpec[], program: string, { stopAtOperand = false }: GetoptOptions = {},
): CommandLine {
  const options: ParsedOption[] = [];
  const operands: string[] = [];
  for (let i = 0; i < argv.length && !ANSWERED_AT_ONCE.has(options.at(-1)?.name ?? ''); i++) {
    const word = argv[i] ?? '';
    if (word === '--') {
      operands.push(...argv.slice(i + 1));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const typed = equals < 0 ? word : word.slice(0, equals);
      const spec = findLong(typed, specs, program, word);
      let value = equals < 0 ? undefined : word.slice(equals + 1);
      if (spec.argument === 'required') {
        value ??= argv[++i];
        if (value === undefined) throw new UsageError(`${program}: option '--${spec.long}' requires an argument`);
      } else if (value !== undefined && spec.argument !== 'optional') {
        throw new UsageError(`${program}: option '--${spec.long}' doesn't allow an argument`);
      }
      options.push({ name: spec.name ?? spec.long, value: value ?? '' });
    } else if (word.startsWith('-') && word !== '-') {
      i += takeShort(word, argv[i + 1], specs, program, options);
    } else if (stopAtOperand) {
      operands.push(...argv.slice(i));
      break;
    } else {
      operands.push(word);
    }
  }
  return { options, operands };
}

function findLong(typed: string, specs: readonly OptionSpec[], program: string, word: string): OptionSpec {
  const name = typed.slice(2);
  const exact = specs.find((spec) => spec.long === name);
  if (exact) return exact;
  const candidates = specs.filter((spec) => !spec.exact && spec.long.startsWith(name));
  const [first, ...others] = candidates;
  if (!first) throw new UsageError(`${program}: unrecognized option '${word}'`);
  // Two spellings of one thing are not ambiguous.
  if (others.every((other) => (other.name ?? other.long) === (first.name ?? first.long))) return first;
  throw new UsageError(
    `${program}: option '${word}' is ambiguous; possibilities:${candidates.map((c) => ` '--${c.long}'`).join('')}`,
  );
}

/** One word of short options. Returns how many following words it used: 0 or 1. */
function takeShort(
  word: string, next: string | undefined, specs: readonly OptionSpec[], program: string, options: ParsedOption[],
): number {
  for (let j = 1; j < word.length; j++) {
    const letter = word[j] ?? '';
    const spec = specs.find((s) => s.short === letter);
    if (!spec) throw new UsageError(`${program}: invalid option -- '${letter}'`);
    const name = spec.name ?? spec.long;
    if (spec.argument !== 'required' && spec.argument !== 'optional') {
      options.push({ name, value: '' });
      if (ANSWERED_AT_ONCE.has(name)) return 0;
      continue;
    }
    const rest = word.slice(j + 1);
    if (spec.argument === 'optional') {
      options.push({ name, value: rest });
      return 0;
    }
    if (rest === '' && next === undefined) throw new UsageError(`${program}: option requires an argument -- '${letter}'`);
    options.push({ name, value: rest === '' ? next ?? '' : rest });
    return rest === '' ? 1 : 0;
  }
  return 0;
}
