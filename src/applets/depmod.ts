// depmod: makes the indexes of modprobe from the modules of a kernel.

import { statSync } from 'node:fs';

import { depmod, type DepmodOptions } from '../kmod/depmod.ts';
import { DepmodError } from '../kmod/depmod-output.ts';
import type { Log, LogLevel, LogRecord, System } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { compileSparingly } from './compile-sparingly.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { LOG_LEVELS } from './log.ts';
import { openProgress, type Progress } from './progress.ts';
import { answersHelp } from './standard-options.ts';
import { absolutePath } from './typed-path.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'all', short: 'a' },
  { long: 'quick', short: 'A' },
  { long: 'basedir', short: 'b', argument: 'required' },
  { long: 'moduledir', short: 'm', argument: 'required' },
  { long: 'outdir', short: 'o', argument: 'required' },
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'symvers', short: 'E', argument: 'required' },
  { long: 'filesyms', short: 'F', argument: 'required' },
  { long: 'errsyms', short: 'e' },
  { long: 'verbose', short: 'v' },
  { long: 'show', short: 'n' },
  { long: 'dry-run', name: 'show' },
  { long: 'symbol-prefix', short: 'P', argument: 'required' },
  { long: 'warn', short: 'w' },
  { long: 'layout', argument: 'required' },
  { long: 'jobs', argument: 'required' },
  { long: 'no-cache' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

export const depmodApplet: Applet = {
  name: 'depmod',
  summary: 'make the indexes of modprobe from the modules of a kernel',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map<string, string[]>();
    for (const { name, value } of options) given.set(name, [...(given.get(name) ?? []), value]);
    const progress = openProgress(context.stderr, { enabled: context.isTty.stderr && !given.has('show') && !given.has('verbose') });
    const log = depmodLog(context, progress, given.get('verbose')?.length ?? 0);
    if (answersHelp(given, DEPMOD_HELP, context)) return 0;
    try {
      return await runDepmod(given, operands, log, progress, context);
    } catch (error) {
      progress.clear();
      if (!(error instanceof DepmodError)) throw error;
      context.stderr(`${context.program}: FATAL: ${error.message}\n`);
      return 1;
    }
  },
};

async function runDepmod(
  given: ReadonlyMap<string, readonly string[]>, operands: readonly string[], log: Log, progress: Progress, context: AppletContext,
): Promise<number> {
  const last = (name: string) => given.get(name)?.at(-1);
  const [first, ...rest] = operands;
  const named = first !== undefined && /^\s*[+-]?\d+\.\s*[+-]?\d+/.test(first);
  if (first !== undefined && !named && !first.startsWith('/')) {
    log.error({ code: 'bad-version', message: `Bad version passed ${first}` });
    return 1;
  }
  const root = last('basedir');
  const system = context.openSystem({ log, ...(named ? { release: first } : {}) });
  const modules = named ? rest : operands;
  const all = given.has('all') || given.has('quick') || modules.length === 0;
  const json = given.has('json');
  const options: DepmodOptions = {
    directory: treeDirectory(system, root, last('moduledir')),
    release: system.release,
    outdir: last('outdir') === undefined ? undefined : `${absolutePath(last('outdir') ?? '')}/${last('moduledir') ?? 'lib/modules'}/${system.release}`,
    configPaths: given.get('config'),
    modules: all ? undefined : modules,
    symvers: last('symvers'),
    systemMap: last('filesyms'),
    reportSymbols: given.has('errsyms'),
    symbolPrefix: symbolPrefix(last('symbol-prefix')),
    warnDuplicates: given.has('warn'),
    quick: given.has('quick'),
    layout: layoutOf(last('layout')),
    jobs: jobsOf(last('jobs')),
    noCache: given.has('no-cache'),
    print: given.has('show') ? (_, text) => context.stdout(json ? '' : text) : undefined,
    onNeed: given.has('verbose') && !json ? (path, symbol, owner) => context.stdout(`${path} needs "${symbol}": ${owner}\n`) : undefined,
  };
  const result = await depmod(system, { ...options, beforeReading: compileSparingly, onProgress: (line) => progress.show(line) });
  progress.clear();
  if (json) context.stdout(jsonLine('depmod', { release: system.release, ...result }));
  return result.outcome === 'cycles' ? 1 : 0;
}

/** ROOT/lib/modules/RELEASE; where that is absent, and nobody said otherwise, ROOT/usr/lib/modules/RELEASE if that is there. */
function treeDirectory(system: System, root: string | undefined, moduleDirectory: string | undefined): string {
  const base = root === undefined ? system.roots.modules : absolutePath(root);
  const place = (directory: string) => `${base}/${directory.replace(/^\/+|\/+$/g, '')}/${system.release}`;
  if (moduleDirectory !== undefined) return place(moduleDirectory);
  const isThere = (directory: string) => statSync(place(directory), { throwIfNoEntry: false })?.isDirectory() === true;
  return place(!isThere('lib/modules') && isThere('usr/lib/modules') ? 'usr/lib/modules' : 'lib/modules');
}

function symbolPrefix(text: string | undefined): string | undefined {
  if (text !== undefined && text.length > 1) throw new DepmodError('-P only takes a single char');
  return text;
}

function layoutOf(text: string | undefined): 'pre-order' | 'post-order' {
  switch (text) {
    case undefined:
    case 'pre':
      return 'pre-order';
    case 'post':
      return 'post-order';
    default:
      throw new DepmodError(`--layout takes 'pre' (kmod 34 and later) or 'post' (kmod up to 33), not '${text}'`);
  }
}

function jobsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const jobs = Number(text);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 256) throw new DepmodError(`--jobs takes a number from 1 to 256, not '${text}'`);
  return jobs;
}

/** `PROGRAM: LEVEL: message`. Some messages of depmod are of two lines; other control characters are made visible. */
function depmodLog(context: AppletContext, progress: Progress, verbose: number): Log {
  const limit = Math.min(LOG_LEVELS.indexOf('warn') + (verbose > 0 ? verbose + 1 : 0), LOG_LEVELS.length - 1);
  const at = (level: LogLevel) => ({ message }: LogRecord) => {
    if (LOG_LEVELS.indexOf(level) > limit) return;
    const text = message.split('\n').map((line) => line.replace(/\p{Cc}/gu, '?')).join('\n');
    progress.print(`${context.program}: ${LABELS[level]}: ${text}\n`);
  };
  return { error: at('error'), warn: at('warn'), notice: at('notice'), info: at('info'), debug: at('debug') };
}

const LABELS: Readonly<Record<LogLevel, string>> = { error: 'ERROR', warn: 'WARNING', notice: 'NOTICE', info: 'INFO', debug: 'DEBUG' };

const DEPMOD_HELP = `Usage: depmod [OPTION]... [RELEASE] [FILE]...
Make the indexes of modprobe from the modules of a kernel: modules.dep and its
companions. Without FILE, of all modules in /lib/modules/RELEASE.

What to do
  -a, --all               all modules (the default without FILE)
  -A, --quick             only if a module is newer than modules.dep
  -n, --show, --dry-run   print the text files, write nothing
  -e, --errsyms           tell of symbols that nobody exports (with -E or -F),
                          and of versions that differ (with -E)
  -E, --symvers=FILE      the kernel's symbols, from Module.symvers
  -F, --filesyms=FILE     the kernel's symbols, from System.map
  -P, --symbol-prefix=C   the character that the architecture puts before names
  -w, --warn              tell of duplicate entries

Where
  -b, --basedir=DIR       modules are in DIR/lib/modules
  -m, --moduledir=DIR     modules are in DIR below the base, not in lib/modules
  -o, --outdir=DIR        write to DIR/lib/modules/RELEASE
  -C, --config=PATH       read this file or directory instead of depmod.d;
                          may be repeated

How
      --layout=LAYOUT     'pre' as kmod 34 and later (the default), or 'post',
                          byte for byte what kmod up to 33 writes
      --jobs=N            threads that read modules, at most; as many as cores
      --no-cache          read every module, and leave no modules.depmod-cache

Output
  -v, --verbose           print which symbol makes a module need another one;
                          repeated, more messages
      --json              print what was done as one JSON object (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 on success, 1 otherwise.
`;

