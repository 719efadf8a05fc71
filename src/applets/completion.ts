// completion: the scripts that shells complete our command lines with, and the answers that those ask for.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, UsageError } from '../errors.ts';
import { readLoadedModules } from '../kmod/loaded.ts';
import { ModuleDb } from '../kmod/module-db.ts';
import { BUILTINS } from '../udev/builtin/table.ts';
import type { Applet, AppletContext, Subcommand } from './applet.ts';
import { completionScript, SHELLS } from './completion-scripts.ts';
import type { ValueKind } from './completion-values.ts';
import { type CompletionHost, completeWords, type Typed } from './completion-words.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { silentLog } from './log.ts';
import { modinfo } from './modinfo.ts';
import { modulesAt } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [{ long: 'help', short: 'h' }, { long: 'version', short: 'V' }];

const HELP = `Usage: tskmod completion bash|zsh|fish
       tskmod completion words WORD...
Print the script that a shell completes our command lines with. It asks for
options, modules, loaded modules, devices and more with \`words\`.

  bash    tskmod completion bash > /etc/bash_completion.d/tskmod
  zsh     tskmod completion zsh > /usr/local/share/zsh/site-functions/_tskmod
  fish    tskmod completion fish > ~/.config/fish/completions/tskmod.fish
  words   for the command line of these words, of which the last is being typed:
          what the shell adds (files, directories or none), and below it a
          line for each candidate, with its summary behind a tab

  -V, --version
  -h, --help

Plain names such as modprobe are completed where they lead to this program.

Exit status: 0 on success, 1 otherwise.
`;

/** @param applets those that people call: the table is the command line's */
export function completionApplet(applets: readonly Subcommand[]): Applet {
  return {
    name: 'completion',
    summary: 'print what bash, zsh and fish complete command lines with',
    options: OPTIONS,
    async run(argv, context) {
      const { options, operands: [what, ...words] } = getopt(argv, OPTIONS, context.program, { stopAtOperand: true });
      if (answersHelp(new Set(options.map(({ name }) => name)), HELP, context)) return 0;
      if (what === 'words') return printWords(applets, words, context);
      const shell = SHELLS.find((name) => name === what);
      if (!shell || words.length > 0) throw new UsageError(`${context.program}: name one shell: ${SHELLS.join(', ')}`);
      context.stdout(completionScript(shell, applets.map(({ name }) => name)));
      return 0;
    },
  };
}

async function printWords(applets: readonly Subcommand[], [program = '', ...words]: readonly string[], context: AppletContext): Promise<number> {
  const called = program.slice(program.lastIndexOf('/') + 1);
  const named = applets.find(({ name }) => called === name || (called === `ts${name}` && called !== 'tskmod'));
  const all: Applet = { name: 'tskmod', summary: '', options: OPTIONS, subcommands: applets, run: async () => 0 };
  const { paths, words: candidates } = await completeWords(named ? await named.load() : all, words, hostOf(context));
  context.stdout([paths, ...candidates.map(({ word, summary }) => (summary === '' ? word : `${word}\t${summary}`))].map((line) => `${line}\n`).join(''));
  return 0;
}

function hostOf(context: AppletContext): CompletionHost {
  return {
    help: (applet) => (applet.name === 'tskmod' ? Promise.resolve('  --help\n  --version\n') : said(applet, ['--help'], context)),
    words: (kind, typed, operands) => lookUp(kind, typed, operands, context),
  };
}

async function said(applet: Applet, argv: readonly string[], context: AppletContext): Promise<string> {
  let text = '';
  await applet.run(argv, { ...context, program: applet.name, stdout: (piece) => void (text += piece), stderr: () => undefined });
  return text;
}

async function lookUp(kind: ValueKind, typed: Typed, operands: readonly string[], context: AppletContext): Promise<readonly string[]> {
  const last = (...names: string[]): string | undefined => names.map((name) => typed.get(name)?.at(-1)).find((value) => value !== undefined);
  const [release, directory, places] = [last('set-version', 'release'), last('dirname', 'basedir'), typed.get('modules')];
  const system = context.openSystem({
    log: silentLog, ...(release === undefined ? {} : { release }), ...(directory === undefined ? {} : { roots: { modules: directory } }),
  });
  switch (kind) {
    case 'module':
      return new ModuleDb(await modulesAt(system, places, context.program), silentLog).modules().map(({ module }) => module).sort();
    case 'loaded':
      return ifThere([], () => readLoadedModules(system).map(({ module }) => module));
    case 'parameter': {
      const where = [...places ?? []].flatMap((place) => ['--modules', place]);
      const lines = await said(modinfo, [...where, ...(directory === undefined ? [] : ['-b', directory]), ...(release === undefined ? [] : ['-k', release]), '-F', 'parm', '-m', operands[0] ?? ''], context);
      return lines.split('\n').filter((line) => line.includes(':')).map((line) => `${line.slice(0, line.indexOf(':'))}=`);
    }
    case 'release':
      return ['lib/modules', 'usr/lib/modules'].flatMap((place) => names(join(system.roots.modules || '/', place)))
        .filter((name, i, all) => all.indexOf(name) === i).sort();
    case 'subsystem':
      return ['class', 'bus'].flatMap((place) => names(join(system.roots.sys, place))).sort();
    case 'node':
    case 'device':
      return ['block', 'char'].flatMap((type) => names(join(system.roots.sys, 'dev', type)).flatMap((number) => {
        const uevent = ifThere('', () => readFileSync(join(system.roots.sys, 'dev', type, number, 'uevent'), 'utf8'));
        const node = /^DEVNAME=(.+)$/m.exec(uevent)?.[1];
        return node === undefined ? [] : kind === 'node' ? node : join(system.roots.dev, node);
      })).sort();
    case 'builtin':
      return BUILTINS.map(({ name }) => name);
  }
}

function names(directory: string): string[] {
  return ifThere([], () => readdirSync(directory));
}

/** A machine without this part of /sys or /proc offers nothing. */
function ifThere<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return otherwise;
  }
}
