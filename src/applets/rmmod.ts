// rmmod: removes modules from the kernel, one by one, and nothing that they need.

import { existsSync } from 'node:fs';

import { UnsupportedError } from '../errors.ts';
import { moduleNameOfPath, normalizeModuleName } from '../kmod/alias.ts';
import { LiveModules } from '../kmod/live.ts';
import { readHolders } from '../kmod/loaded.ts';
import { ModuleDb } from '../kmod/module-db.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { describeErrno, type Errno, errnoByName, errnoName, O_NONBLOCK, O_TRUNC, type System } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';
import { messageWriter } from './syslog.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'force', short: 'f' },
  { long: 'syslog', short: 's' },
  { long: 'verbose', short: 'v' },
  MODULES_OPTION,
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: rmmod [OPTION]... MODULE...
Remove modules from the kernel. MODULE is a name, or a module file, which stands for its name.

  -f, --force      remove even what is in use; the machine may crash
                   (needs CONFIG_MODULE_FORCE_UNLOAD)
  -s, --syslog     errors go to the system log
  -v, --verbose    say what was removed
      --modules=PATH
                   what is built in is asked of PATH, as modprobe's --modules
      --json       one JSON object a module and line (docs/json.md)
  -V, --version
  -h, --help

Exit status: 0 when all were removed, 1 otherwise.
`;

/** What came of one operand. `messages` are kmod's lines, without program and level. */
type Removal = {
  readonly module: string;
  readonly outcome: 'removed' | 'builtin' | 'not-loaded' | 'in-use' | 'failed';
  readonly holders: readonly string[];
  readonly failure?: { readonly code: string; readonly errno: number; readonly text: string };
  readonly messages: readonly string[];
};

export const rmmod: Applet = {
  name: 'rmmod',
  summary: 'remove modules from the kernel',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Set(options.map(({ name }) => name));
    if (answersHelp(given, HELP, context)) return 0;
    return removeAll(operands, context, {
      force: given.has('force'), syslog: given.has('syslog'), verbose: given.has('verbose'), json: given.has('json'), modules: modulesIn(options),
    });
  },
};

type Options = { readonly force: boolean; readonly syslog: boolean; readonly verbose: boolean; readonly json: boolean; readonly modules: readonly string[] | undefined };

async function removeAll(operands: readonly string[], context: AppletContext, { force, syslog, verbose, json, modules }: Options): Promise<number> {
  let write = (line: string): void => context.stderr(line);
  const log = stderrLog({ program: context.program, level: verbose ? 'info' : 'warn', write: (line) => write(line) });
  const system = context.openSystem({ log });
  write = await messageWriter(context, system, syslog);
  const say = (text: string): void => write(`${context.program}: ERROR: ${text}\n`);
  if (operands.length === 0) {
    say('missing module name.');
    return 1;
  }
  const remover = new Remover(system, await modulesAt(system, modules, context.program), force);
  let status = 0;
  for (const operand of operands) {
    const { messages, ...removal } = await remover.remove(operand);
    for (const message of messages) say(message);
    if (json) context.stdout(jsonLine('removal', { target: operand, ...removal }));
    if (removal.outcome === 'removed') system.log.info({ code: 'removed', message: `removed module ${removal.module}` });
    else status = 1;
  }
  return status;
}

class Remover {
  readonly #system: System;
  readonly #force: boolean;
  readonly #live: LiveModules;
  readonly #db: ModuleDb;

  constructor(system: System, source: ModuleSource, force: boolean) {
    this.#system = system;
    this.#force = force;
    this.#live = new LiveModules(system);
    this.#db = new ModuleDb(source, system.log);
  }

  async remove(operand: string): Promise<Removal> {
    const module = existsSync(operand) ? moduleNameOfPath(operand) : normalizeModuleName(operand);
    const blocked = this.#force ? undefined : this.#check(module);
    if (blocked) return blocked;
    const errno = await this.#delete(module);
    if (typeof errno === 'string') return { module, outcome: 'failed', holders: [], messages: [`could not remove module ${operand}: ${errno}`] };
    // It was there a moment ago: somebody else has removed it.
    if (errno === 0 || (errnoName(errno) === 'ENOENT' && !this.#force)) return { module, outcome: 'removed', holders: [], messages: [] };
    const { code, text } = describeErrno(errno);
    const messages = [`could not remove '${module}': ${text}`, `could not remove module ${operand}: ${text}`];
    return { module, outcome: 'failed', holders: [], failure: { code, errno, text }, messages };
  }

  /** The errno, or why the kernel cannot be asked. */
  async #delete(module: string): Promise<Errno | string> {
    try {
      return (await this.#system.native()).deleteModule(module, this.#force ? O_NONBLOCK | O_TRUNC : O_NONBLOCK);
    } catch (error) {
      if (error instanceof UnsupportedError) return error.message;
      throw error;
    }
  }

  /** Why the module cannot go, as far as the kernel's files tell: the kernel itself would only say EAGAIN. */
  #check(module: string): Removal | undefined {
    if (this.#db.isBuiltin(module)) return { module, outcome: 'builtin', holders: [], messages: [`Module ${module} is builtin.`] };
    if (this.#live.state(module) === undefined) {
      return { module, outcome: 'not-loaded', holders: [], messages: [`Module ${module} is not currently loaded`] };
    }
    const holders = readHolders(this.#system, module) ?? [];
    if (holders.length > 0) return { module, outcome: 'in-use', holders, messages: [`Module ${module} is in use by: ${holders.join(' ')}`] };
    const refcnt = this.#live.refcnt(module);
    if (refcnt === 0) return undefined;
    if (refcnt !== undefined) return { module, outcome: 'in-use', holders, messages: [`Module ${module} is in use`] };
    const failure = { code: 'ENOSYS', errno: errnoByName('ENOSYS') ?? 0, text: 'Module unloading is not supported' };
    return { module, outcome: 'failed', holders, failure, messages: [failure.text] };
  }
}
