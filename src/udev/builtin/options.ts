// The options of a builtin's command line, as udev reads them: what it does not know, it ignores.

export type BuiltinOptionSpec = {
  readonly long: string;
  readonly short?: string;
  /** `optional`: as `--offset=512`, in the same word; the short form always takes one. */
  readonly argument: 'required' | 'optional' | 'none';
};

export type BuiltinCommand = {
  /** By long name; '' where no argument was given. The last one counts. */
  readonly options: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
  /** Words that are no options of this builtin, or lack their argument. */
  readonly ignored: readonly string[];
};

/** `argv[0]` is the name of the builtin. Options may follow operands, and long ones may be cut short, as getopt_long(3) has it. */
export function parseBuiltinCommand(argv: readonly string[], specs: readonly BuiltinOptionSpec[]): BuiltinCommand {
  const options = new Map<string, string>();
  const operands: string[] = [];
  const ignored: string[] = [];
  for (let i = 1; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--') {
      operands.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    const given = word.startsWith('--') ? longOption(word, specs) : shortOption(word, specs);
    if (!given) {
      ignored.push(word);
      continue;
    }
    let { value } = given;
    if (value === undefined && given.isRequired) value = argv[++i];
    if (value === undefined && given.isRequired) ignored.push(word);
    else options.set(given.spec.long, value ?? '');
  }
  return { options, operands, ignored };
}

type Given = { readonly spec: BuiltinOptionSpec; readonly value: string | undefined; readonly isRequired: boolean };

function longOption(word: string, specs: readonly BuiltinOptionSpec[]): Given | undefined {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const fitting = specs.filter(({ long }) => long.startsWith(name));
  const spec = specs.find(({ long }) => long === name) ?? (fitting.length === 1 ? fitting[0] : undefined);
  if (!spec || (equals >= 0 && spec.argument === 'none')) return undefined;
  return { spec, value: equals < 0 ? undefined : word.slice(equals + 1), isRequired: spec.argument === 'required' };
}

/** Builtins have no short options that are worth bundling. */
function shortOption(word: string, specs: readonly BuiltinOptionSpec[]): Given | undefined {
  const spec = specs.find(({ short }) => short !== undefined && short === word[1]);
  if (!spec || (word.length > 2 && spec.argument === 'none')) return undefined;
  return { spec, value: word.length > 2 ? word.slice(2) : undefined, isRequired: spec.argument !== 'none' };
}
