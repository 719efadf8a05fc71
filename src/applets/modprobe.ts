// modprobe: inserts or removes modules by name or alias, with all that they need.

import { type Kmod, openKmod } from '../kmod/kmod.ts';
import type { ProbeResult } from '../kmod/probe.ts';
import type { System } from '../system.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { insertionReason, MODPROBE_HELP, stepLine } from './modprobe-messages.ts';
import { silentLog, stderrLog } from './log.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'all', short: 'a' },
  { long: 'remove', short: 'r' },
  { long: 'show-depends', short: 'D' },
  { long: 'show-alias', short: 'R' },
  { long: 'resolve-alias', name: 'show-alias' },
  { long: 'dry-run', short: 'n' },
  { long: 'show', name: 'dry-run' },
  { long: 'first-time' },
  { long: 'use-blacklist', short: 'b' },
  { long: 'ignore-install', short: 'i' },
  { long: 'ignore-remove', name: 'ignore-install' },
  { long: 'config', short: 'C', argument: 'required' },
  { long: 'dirname', short: 'd', argument: 'required' },
  { long: 'set-version', short: 'S', argument: 'required' },
  { long: 'quiet', short: 'q' },
  { long: 'verbose', short: 'v' },
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

type Request = {
  readonly remove: boolean;
  readonly all: boolean;
  readonly showDepends: boolean;
  readonly showAlias: boolean;
  readonly dryRun: boolean;
  readonly firstTime: boolean;
  readonly useBlacklist: boolean;
  readonly ignoreInstall: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
  readonly config: readonly string[] | undefined;
  readonly dirname: string | undefined;
  readonly release: string | undefined;
  readonly operands: readonly string[];
};

export const modprobe: Applet = {
  name: 'modprobe',
  summary: 'insert or remove a module and all that it needs',
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map<string, string[]>();
    for (const { name, value } of options) given.set(name, [...(given.get(name) ?? []), value]);
    if (given.has('help')) {
      context.stdout(MODPROBE_HELP);
      return 0;
    }
    if (given.has('version')) {
      context.stdout(`tsmodprobe ${VERSION}\n`);
      return 0;
    }
    const request: Request = {
      remove: given.has('remove'), all: given.has('all'), showDepends: given.has('show-depends'), showAlias: given.has('show-alias'),
      dryRun: given.has('dry-run'), firstTime: given.has('first-time'), useBlacklist: given.has('use-blacklist'),
      ignoreInstall: given.has('ignore-install'), quiet: given.has('quiet'), verbose: given.has('verbose'), json: given.has('json'),
      config: given.get('config'), dirname: given.get('dirname')?.at(-1), release: given.get('set-version')?.at(-1), operands,
    };
    return new Modprobe(request, context).run();
  },
};

class Modprobe {
  readonly #request: Request;
  readonly #context: AppletContext;
  readonly #system: System;
  readonly #kmod: Kmod;
  #failed = false;

  constructor(request: Request, context: AppletContext) {
    this.#request = request;
    this.#context = context;
    const { dirname, release } = request;
    this.#system = context.openSystem({
      log: request.quiet ? silentLog : stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }),
      ...(dirname === undefined ? {} : { roots: { modules: absolute(dirname) } }),
      ...(release === undefined ? {} : { release }),
    });
    this.#kmod = openKmod(this.#system, { configPaths: request.config });
  }

  async run(): Promise<number> {
    const { operands, all, remove, showAlias } = this.#request;
    const [first, ...rest] = operands;
    if (first === undefined) {
      this.#say('ERROR', 'missing parameters. See -h.');
      return 1;
    }
    try {
      const many = all || remove;
      for (const name of many ? operands : [first]) {
        const keepsGoing = showAlias ? this.#showAlias(name) : await this.#probe(name, many ? '' : rest.map(quoteParam).join(' '));
        // Without -a the first name that nothing knows ends it all, unless nobody is to hear of it.
        if (!keepsGoing && !this.#request.quiet) return 1;
      }
    } finally {
      await this.#kmod.close();
    }
    return this.#failed ? 1 : 0;
  }

  #showAlias(name: string): boolean {
    const matches = this.#kmod.lookup(name);
    if (matches.length === 0) return this.#notFound(name);
    if (this.#request.json) this.#json({ target: name, modules: matches });
    else this.#context.stdout(matches.map(({ module }) => `${module}\n`).join(''));
    return true;
  }

  /** False when the name is unknown and nothing after it is to be done. */
  async #probe(name: string, params: string): Promise<boolean> {
    const { remove, showDepends, dryRun, useBlacklist, ignoreInstall, json, verbose } = this.#request;
    const plan = this.#kmod.plan(name, {
      action: remove ? 'remove' : 'insert', params, ignoreInstall, ignoreLoaded: showDepends,
      useBlacklist: useBlacklist ? 'all' : 'aliases',
    });
    if (plan.goals.length === 0) return this.#notFound(name);
    const pretend = dryRun || showDepends;
    const prints = !json && (pretend || verbose);
    const result = await this.#kmod.execute(plan, {
      dryRun: pretend, ignoreLoaded: showDepends,
      ...(prints ? { onStep: (step) => this.#context.stdout(stepLine(step)) } : {}),
    });
    if (json) this.#json(pretend ? plan : result);
    if (remove) this.#reportRemoval(result);
    else this.#reportInsertion(result);
    return true;
  }

  #reportInsertion(result: ProbeResult): void {
    for (const { module, outcome, failure, steps } of result.goals) {
      const already = outcome === 'live' || outcome === 'builtin';
      if (already && this.#request.firstTime && !this.#request.showDepends) {
        this.#fail('ERROR', `could not insert '${module}': Module already in kernel`);
      }
      for (const step of steps) {
        if (step.failure?.syscall === 'sh') {
          this.#say('ERROR', `Error running install command '${step.command}' for module ${step.module}: ${step.failure.text}`);
        }
      }
      if (failure) this.#fail('ERROR', `could not insert '${module}': ${insertionReason(failure)}`);
    }
  }

  #reportRemoval(result: ProbeResult): void {
    for (const { module, outcome, failure, steps } of result.goals) {
      if (outcome === 'builtin') this.#fail('FATAL', `Module ${module} is builtin.`);
      if (outcome === 'not-loaded' && this.#request.firstTime) this.#fail('FATAL', `Module ${module} is not in kernel.`);
      if (!failure) continue;
      const blocked = steps.find((step) => step.failure === failure)?.module ?? module;
      if (failure.syscall === 'sh') this.#fail('FATAL', `Error running remove command for ${blocked}`);
      else if (failure.text === 'in use') this.#fail('FATAL', `Module ${blocked} is in use.`);
      else this.#fail('ERROR', `could not remove '${blocked}': ${failure.text}`);
    }
  }

  #notFound(name: string): boolean {
    const { all, remove } = this.#request;
    this.#failed = true;
    if (remove) this.#say(all ? 'WARNING' : 'FATAL', `Module ${name} not found.`);
    else this.#say(all ? 'WARNING' : 'FATAL', `Module ${name} not found in directory ${this.#kmod.source.name}`);
    return all;
  }

  #fail(level: 'ERROR' | 'FATAL', text: string): void {
    this.#failed = true;
    this.#say(level, text);
  }

  #say(level: 'FATAL' | 'ERROR' | 'WARNING', text: string): void {
    if (!this.#request.quiet) this.#context.stderr(`${this.#context.program}: ${level}: ${text}\n`);
  }

  #json(value: unknown): void {
    this.#context.stdout(`${JSON.stringify(value)}\n`);
  }
}

/** `p=two words` came as one argument; the kernel splits its parameters at blanks. */
function quoteParam(param: string): string {
  const equals = param.indexOf('=');
  const value = param.slice(equals + 1);
  return equals < 0 || !/\s/.test(value) || value.startsWith('"') ? param : `${param.slice(0, equals)}="${value}"`;
}

function absolute(directory: string): string {
  return directory === '/' ? '' : directory.replace(/\/+$/, '');
}
