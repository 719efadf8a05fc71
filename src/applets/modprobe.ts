// modprobe: inserts or removes modules by name or alias, with all that they need.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';

import { codeOf } from '../errors.ts';
import { moduleNameOfPath } from '../kmod/alias.ts';
import { type Kmod, openKmod } from '../kmod/kmod.ts';
import { joinParams } from '../kmod/params.ts';
import type { ModuleLoad, ProbeResult } from '../kmod/probe.ts';
import { openTree } from '../kmod/tree-source.ts';
import { errnoByName, errnoText, type System } from '../system.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { type JsonKind, jsonLine } from './json.ts';
import { silentLog, stderrLog } from './log.ts';
import { MACHINE_OPTION, requireRunningKernel, withMachine } from './machine-option.ts';
import { insertionReason, isRefusal, MODPROBE_HELP, refusalOf, stepLine } from './modprobe-messages.ts';
import { MODPROBE_OPTIONS, type ModprobeRequest, parseModprobe } from './modprobe-options.ts';
import { modulesAt } from './modules-option.ts';
import { absolutePath } from './typed-path.ts';

/** With so many names V8 begins to optimise what runs, for a run that is over before it pays: a fifth of its time. */
const MANY_NAMES = 500;

/** Characters that are printed in one write. */
const PIECE = 1 << 16;

export const modprobe: Applet = {
  name: 'modprobe',
  summary: 'insert or remove a module and all that it needs',
  options: [...MODPROBE_OPTIONS, MACHINE_OPTION],
  run: (argv, context) => withMachine(argv, context, runModprobe, { modulesOnly: true }),
};

async function runModprobe(argv: readonly string[], context: AppletContext): Promise<number> {
  const request = parseModprobe(argv, context.env['MODPROBE_OPTIONS'], context.program);
  if (request.task === 'help' || request.task === 'version') {
    context.stdout(request.task === 'help' ? (await import('./standard-options.ts')).helpFor(MODPROBE_HELP, context) : `tsmodprobe ${VERSION}\n`);
    return 0;
  }
  if (request.task === 'probe' && !request.dryRun && !request.showDepends) requireRunningKernel(context, 'use --dry-run');
  if (request.operands.length >= MANY_NAMES) process.getBuiltinModule('node:v8').setFlagsFromString('--no-opt');
  return (await Modprobe.open(request, context)).run();
}

class Modprobe {
  readonly #request: ModprobeRequest;
  readonly #context: AppletContext;
  readonly #system: System;
  readonly #kmod: Kmod;
  /** What a dry run of removals has shown. */
  readonly #removed = new Set<string>();
  /** Messages that wait for `#flush`. */
  readonly #messages: string[];
  /** Lines of a dry run that wait for `#print`: with -a there are thousands. */
  #lines = '';
  #write: ((line: string) => void) | undefined;
  #failed = false;

  static async open(request: ModprobeRequest, context: AppletContext): Promise<Modprobe> {
    const { dirname, release, quiet, verbose, childOptions, modules, strict } = request;
    const messages: string[] = [];
    const system = context.openSystem({
      log: quiet ? silentLog : stderrLog({ program: context.program, level: verbose > 1 ? 'debug' : 'warn', write: (line) => messages.push(line) }),
      // A copy of process.env asks the C library for each of its variables.
      env: childOptions === (context.env['MODPROBE_OPTIONS'] ?? '') ? context.env : { ...context.env, MODPROBE_OPTIONS: childOptions },
      // As typed but for that, as kmod shows it.
      ...(dirname === undefined || dirname === '' ? {} : { roots: { modules: absolutePath(dirname) } }),
      ...(release === undefined ? {} : { release }),
    });
    // kmod knows of no images.
    const source = strict && modules === undefined ? openTree(system) : await modulesAt(system, modules, context.program);
    return new Modprobe(request, context, system, openKmod(system, { configPaths: request.config, strict, source }), messages);
  }

  private constructor(request: ModprobeRequest, context: AppletContext, system: System, kmod: Kmod, messages: string[]) {
    this.#request = request;
    this.#context = context;
    this.#system = system;
    this.#kmod = kmod;
    this.#messages = messages;
  }

  async run(): Promise<number> {
    try {
      return await this.#run();
    } finally {
      this.#print();
      await this.#flush();
      await this.#kmod.close();
    }
  }

  async #run(): Promise<number> {
    const { operands, all, remove, task, quiet } = this.#request;
    if (task === 'show-config') return this.#showConfig();
    const [first, ...rest] = operands;
    if (first === undefined) {
      // kmod says this before it takes notice of -q.
      this.#messages.push(`${this.#context.program}: ERROR: missing parameters. See -h.\n`);
      return 1;
    }
    if (task === 'show-modversions' || task === 'show-exports') return this.#showSymbols(first, task);
    const many = all || remove;
    for (const name of many ? operands : [first]) {
      const goesOn = task === 'show-alias' ? this.#showAlias(name) : await this.#probe(name, many ? '' : joinParams(rest));
      await this.#flush();
      // Without -a the first name that nothing knows ends it all, unless nobody is to hear of it.
      if (!goesOn && !quiet) return 1;
    }
    return this.#failed ? 1 : 0;
  }

  /** Messages go to stderr or the system's log; which, is found out when there is one. */
  async #flush(): Promise<void> {
    if (this.#messages.length === 0) return;
    this.#print();
    const { messageWriter } = await import('./syslog.ts');
    this.#write ??= await messageWriter(this.#context, this.#system, this.#request.syslog);
    const write = this.#write;
    for (const line of this.#messages.splice(0)) write(line);
  }

  async #showConfig(): Promise<number> {
    const { configLines } = await import('./modprobe-config.ts');
    const { config, db } = this.#kmod.facts;
    if (this.#request.json) this.#json('config', { ...config, aliasIndex: [...db.aliasEntries()], symbolIndex: [...db.symbolEntries()] });
    else this.#context.stdout([...configLines(config, db, this.#request)].join(''));
    return 0;
  }

  async #showSymbols(name: string, task: 'show-modversions' | 'show-exports'): Promise<number> {
    const indexed = isPath(name) ? undefined : this.#fileOf(name);
    const path = indexed ?? resolve(name);
    const { formatSymbols, symbolsOf } = await import('./modprobe-symbols.ts');
    const { source } = this.#kmod;
    if (!(indexed === undefined ? existsSync(path) : source.exists(path))) {
      this.#say('FATAL', `Module ${name} not found.`);
      return 1;
    }
    const symbols = await symbolsOf(this.#system, path, task, indexed === undefined ? undefined : source);
    if (typeof symbols === 'string') {
      this.#say('FATAL', `could not get ${task === 'show-exports' ? 'symbols' : 'modversions'} of ${name}: ${symbols}`);
      return 1;
    }
    if (this.#request.json) this.#json('symbols', { target: name, path, of: task === 'show-exports' ? 'exports' : 'modversions', symbols });
    else this.#context.stdout(formatSymbols(symbols));
    return 0;
  }

  #fileOf(name: string): string | undefined {
    const [match] = this.#kmod.lookup(name);
    const path = match && this.#kmod.facts.db.dependencies(match.module)?.path;
    return path === undefined ? undefined : this.#kmod.source.resolve(path);
  }

  #showAlias(name: string): boolean {
    const missing = isPath(name) ? whyNoModule(name) : undefined;
    if (missing !== undefined) return this.#unknown(name, missing);
    const matches = isPath(name) ? [{ module: moduleNameOfPath(name) }] : this.#kmod.lookup(name);
    if (matches.length === 0) return this.#notFound(name);
    if (this.#request.json) this.#json('alias', { target: name, modules: matches });
    else this.#context.stdout(matches.map(({ module }) => `${module}\n`).join(''));
    return true;
  }

  /** False when the name is unknown and nothing after it is to be done. */
  async #probe(name: string, params: string): Promise<boolean> {
    const { remove, removeHolders, showDepends, dryRun, useBlacklist, ignoreInstall, insertFlags, force, waitMs, json, quiet, all, verbose, strict } = this.#request;
    const path = isPath(name) && !remove ? absolutePath(name) : undefined;
    const missing = path === undefined ? undefined : whyNoModule(name);
    if (missing !== undefined) return this.#unknown(name, missing);
    const plan = this.#kmod.plan(name, {
      action: remove ? 'remove' : 'insert', params, ignoreInstall, removeHolders, softdepsRequired: !all && !quiet, ignoreLoaded: showDepends,
      useBlacklist: useBlacklist ? 'all' : 'aliases', ...(path === undefined ? {} : { path }),
    });
    if (plan.goals.length === 0) return this.#notFound(name);
    const pretend = dryRun || showDepends;
    // A dry run is printed in large pieces; what is done is said before it is done.
    const onStep = pretend ? (line: string) => this.#printSoon(line) : (line: string) => this.#context.stdout(line);
    const at = this.#system.clock.now();
    const loads: ModuleLoad[] = [];
    const result = await this.#kmod.execute(plan, {
      onLoad: (load) => loads.push(load),
      dryRun: pretend, removed: this.#removed, ignoreLoaded: showDepends, insertFlags, forceRemoval: force, waitMs,
      ...(!json && (showDepends || (dryRun && !quiet) || verbose > 0) ? { onStep: (step) => onStep(stepLine(step)) } : {}),
    });
    if (loads.length > 0) await this.#record(name, at, result, loads);
    if (json) this.#json(pretend ? 'plan' : 'result', pretend ? plan : result);
    for (const { message } of plan.warnings) this.#say('WARNING', message);
    if (remove) return this.#reportRemoval(result);
    await this.#reportInsertion(result, strict);
    return true;
  }

  /** For `why`: what was loaded, and whether the kernel asked, whose helper has a thread of the kernel for its parent. */
  async #record(name: string, at: number, result: ProbeResult, loads: readonly ModuleLoad[]): Promise<void> {
    const { decidedModules, KERNEL_REQUEST, COMMAND_REQUEST } = await import('../udev/decision-record.ts');
    const { appendDecision } = await import('../udev/decisions.ts');
    const devpath = isKernelThread(this.#system, process.ppid) ? KERNEL_REQUEST : COMMAND_REQUEST;
    appendDecision(this.#system, { name, devpath, at, ms: this.#system.clock.now() - at, modules: decidedModules(result), loads });
  }

  async #reportInsertion(result: ProbeResult, strict: boolean): Promise<void> {
    // Of an alias with several modules the last one decides how kmod ends: net-pf-40 also has hv_sock, which few machines take.
    const last = result.goals.at(-1);
    for (const goal of result.goals) {
      const { module, outcome, failure, steps } = goal;
      const fail = (text: string): void => {
        if (goal === last) this.#failed = true;
        this.#say('ERROR', text);
      };
      const already = outcome === 'live' || outcome === 'builtin';
      if (already && this.#request.firstTime && !this.#request.showDepends) fail(`could not insert '${module}': Module already in kernel`);
      for (const step of steps) {
        if (step.failure?.syscall === 'sh') {
          this.#say('ERROR', `Error running install command '${step.command}' for module ${step.module}: ${step.failure.text}`);
        }
      }
      if (!failure) continue;
      fail(`could not insert '${module}': ${insertionReason(failure, strict)}`);
      const refused = strict || this.#request.quiet ? undefined : steps.find((step) => step.failure === failure);
      if (!refused) continue;
      const { explainFailure } = await import('../kmod/explain-failure.ts');
      for (const line of await explainFailure(this.#system, this.#kmod, failure, refused)) this.#say('ERROR', line);
    }
  }

  /** False when nothing after it is to be done. */
  #reportRemoval(result: ProbeResult): boolean {
    const fatal = this.#request.all ? 'WARNING' : 'FATAL';
    let goesOn = true;
    const refuse = (text: string) => {
      this.#fail(fatal, text);
      goesOn = this.#request.all;
    };
    for (const { module, outcome, failure, steps } of result.goals) {
      if (outcome === 'builtin') refuse(`Module ${module} is builtin.`);
      if (outcome === 'not-loaded' && this.#request.firstTime) refuse(`Module ${module} is not in kernel.`);
      for (const step of steps) {
        // With -a softdeps that stay do not matter, but kmod tells of them.
        if (!step.required && step.failure && this.#request.all) this.#say('WARNING', refusalOf(step.module, step.failure));
      }
      if (!failure) continue;
      const blocked = steps.find((step) => step.failure === failure)?.module ?? module;
      if (isRefusal(failure)) refuse(refusalOf(blocked, failure));
      else this.#fail('ERROR', refusalOf(blocked, failure));
    }
    return goesOn;
  }

  #notFound(name: string): boolean {
    return this.#unknown(name, this.#request.remove ? `Module ${name} not found.` : `Module ${name} not found in directory ${this.#kmod.source.name}`);
  }

  #unknown(name: string, error: string): boolean {
    const { all } = this.#request;
    this.#failed = true;
    if (this.#request.json) this.#json('error', { target: name, error });
    this.#say(all ? 'WARNING' : 'FATAL', error);
    return all;
  }

  #fail(level: 'ERROR' | 'FATAL' | 'WARNING', text: string): void {
    this.#failed = true;
    this.#say(level, text);
  }

  #say(level: 'FATAL' | 'ERROR' | 'WARNING', text: string): void {
    if (!this.#request.quiet) this.#messages.push(`${this.#context.program}: ${level}: ${text}\n`);
  }

  #printSoon(line: string): void {
    this.#lines += line;
    if (this.#lines.length >= PIECE) this.#print();
  }

  #print(): void {
    if (this.#lines !== '') this.#context.stdout(this.#lines);
    this.#lines = '';
  }

  #json(kind: JsonKind, value: object): void {
    this.#context.stdout(jsonLine(kind, value));
  }
}

/** Only a leading / or ./ makes a path of a word: the names that the kernel asks for may hold slashes. */
function isPath(name: string): boolean {
  return name.startsWith('/') || name.startsWith('./');
}

/** Why a path stands for no module; undefined for one that does. */
function whyNoModule(path: string): string | undefined {
  let errno = moduleNameOfPath(path) === '' ? errnoByName('ENOENT') : undefined;
  try {
    statSync(path);
  } catch (error) {
    errno = errnoByName(codeOf(error) ?? 'EIO');
  }
  return errno === undefined ? undefined : `Failed to get module from path ${path}: ${errnoText(errno)}`;
}

/** Such a thread has no command line (proc(5)). */
function isKernelThread({ roots }: System, pid: number): boolean {
  try {
    return readFileSync(`${roots.proc}/${pid}/cmdline`).length === 0;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}
