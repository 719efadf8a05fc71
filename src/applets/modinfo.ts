// modinfo: what modules say of themselves, from files, names and aliases.

import { statSync } from 'node:fs';

import { messageOf } from '../errors.ts';
import { moduleNameOfPath, normalizeAlias, normalizeModuleName } from '../kmod/alias.ts';
import { ConfigBuilder } from '../kmod/config.ts';
import { unreadCode } from '../kmod/failure.ts';
import { ImageReader } from '../kmod/image-reader.ts';
import { inOrder } from '../kmod/in-order.ts';
import { lookup } from '../kmod/lookup.ts';
import { ModuleDb } from '../kmod/module-db.ts';
import { type ModuleInfo, parseBuiltinInfo, parseModuleInfo } from '../kmod/modinfo.ts';
import type { ModuleSource } from '../kmod/module-source.ts';
import { errnoByName, errnoText, type System } from '../system.ts';
import type { Applet, AppletContext } from './applet.ts';
import { compileSparingly } from './compile-sparingly.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { stderrLog } from './log.ts';
import { formatInfo, formatSubject, infoObject, isAboutFile, type ModinfoSubject } from './modinfo-text.ts';
import { MODULES_OPTION, modulesAt, modulesIn } from './modules-option.ts';
import { answersHelp } from './standard-options.ts';
import { absolutePath } from './typed-path.ts';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'author', short: 'a' },
  { long: 'description', short: 'd' },
  { long: 'license', short: 'l' },
  { long: 'parameters', short: 'p' },
  { long: 'filename', short: 'n' },
  { long: 'null', short: '0' },
  { long: 'modname', short: 'm' },
  { long: 'field', short: 'F', argument: 'required' },
  { long: 'set-version', short: 'k', argument: 'required' },
  { long: 'basedir', short: 'b', argument: 'required' },
  MODULES_OPTION,
  { long: 'json' },
  { long: 'version', short: 'V' },
  { long: 'help', short: 'h' },
];

const HELP = `Usage: modinfo [OPTION]... MODULE|FILE...
Show what modules say of themselves. MODULE is a name or an alias.

What to show
  -a, --author             only the authors
  -d, --description        only the description
  -l, --license            only the license
  -p, --parameters         only the parameters
  -n, --filename           only the file
  -F, --field=FIELD        only this field, as it stands before the colon
  -0, --null               end values with NUL, not with a newline
      --json               one JSON object a module and line (docs/json.md);
                           with -0 NUL takes the place of the newline

Where
  -m, --modname            every operand is the name of a module
  -k, --set-version=REL    modules of kernel release REL, not of this kernel
  -b, --basedir=DIR        modules are in DIR/lib/modules
      --modules=PATH       modules are in PATH: an image, or a directory;
                           repeated, later ones are laid over earlier ones

  -V, --version
  -h, --help

Exit status: 0 when all were found and read, 1 otherwise.
`;

/** Options that are short for a field. */
const FIELDS: Readonly<Record<string, string>> = {
  author: 'author', description: 'description', license: 'license', parameters: 'parm', filename: 'filename',
};

/** What libkmod takes for a module file. */
const MODULE_FILE = /\.ko(?:\.(?:gz|xz|zst))?$/;

/** Modules that are read ahead of the one that is printed next: in the time of the largest, the others are some hundred. */
const READ_AHEAD = 256;

/** Characters that are written at once to what is no terminal, as by every program with stdio. */
const WRITTEN_AT_ONCE = 64 * 1024;

type Request = {
  readonly field: string | undefined;
  readonly separator: '\n' | '\0';
  readonly byName: boolean;
  readonly json: boolean;
  readonly operands: readonly string[];
};

/** What is known of one subject, or why it is not: `error` is kmod's line, `detail` what is behind it. */
type Answer =
  | { readonly subject: ModinfoSubject; readonly info?: ModuleInfo; readonly error?: string; readonly detail?: string }
  | { readonly target: string; readonly error: string };

export const modinfo: Applet = {
  name: 'modinfo',
  summary: 'show what modules say of themselves',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands } = getopt(argv, OPTIONS, context.program);
    const given = new Map(options.map(({ name, value }) => [name, value]));
    if (answersHelp(given, HELP, context)) return 0;
    let field: string | undefined;
    for (const { name, value } of options) field = name === 'field' ? value : FIELDS[name] ?? field;
    const [basedir, release] = [given.get('basedir'), given.get('set-version')];
    const system = context.openSystem({
      log: stderrLog({ program: context.program, level: 'warn', write: (text) => context.stderr(text) }),
      ...(basedir === undefined || basedir === '' ? {} : { roots: { modules: absolutePath(basedir) } }),
      ...(release === undefined ? {} : { release }),
    });
    const request: Request = { field, separator: given.has('null') ? '\0' : '\n', byName: given.has('modname'), json: given.has('json'), operands };
    if (operands.length > READ_AHEAD) compileSparingly();
    return new Modinfo(request, context, system, await modulesAt(system, modulesIn(options), context.program)).run();
  },
};

class Modinfo {
  readonly #request: Request;
  readonly #context: AppletContext;
  readonly #db: ModuleDb;
  readonly #reader: ImageReader;
  /** No modprobe.d: modinfo asks what a module is, not what is to be done with it. */
  readonly #config = new ConfigBuilder();
  #builtin: { readonly bytes: Uint8Array | undefined } | undefined;
  #failed = false;
  #unwritten = '';
  readonly #writtenAtOnce: number;

  constructor(request: Request, context: AppletContext, system: System, source: ModuleSource) {
    this.#request = request;
    this.#context = context;
    this.#writtenAtOnce = context.isTty.stdout ? 1 : WRITTEN_AT_ONCE;
    this.#db = new ModuleDb(source, system.log);
    this.#reader = new ImageReader(system, { source });
  }

  async run(): Promise<number> {
    const { operands } = this.#request;
    if (operands.length === 0) {
      this.#say('missing module or filename.');
      return 1;
    }
    for await (const answer of inOrder(this.#subjects(), READ_AHEAD, (each) => this.#answer(each))) this.#print(answer);
    this.#flush();
    return this.#failed ? 1 : 0;
  }

  *#subjects(): Generator<ModinfoSubject | { readonly target: string; readonly error: string }> {
    for (const target of this.#request.operands) {
      const found = this.#request.byName ? this.#find(target) : isModuleFile(target) ? [fileSubject(target)] : this.#findAlias(target);
      if (typeof found === 'string') yield { target, error: found };
      else yield* found;
    }
  }

  /** By name alone, or the message. */
  #find(name: string): readonly ModinfoSubject[] | string {
    const key = normalizeModuleName(name);
    const known = key !== '' && (this.#db.dependencies(key) !== undefined || this.#db.isBuiltin(key));
    return known ? [this.#subject(key)] : `Module name ${name} not found.`;
  }

  #findAlias(alias: string): readonly ModinfoSubject[] | string {
    if (normalizeAlias(alias) === undefined) return `Module alias ${alias} not found.`;
    const matches = lookup(alias, this.#config, this.#db);
    return matches.length === 0 ? `Module ${alias} not found.` : matches.map(({ module }) => this.#subject(module));
  }

  #subject(module: string): ModinfoSubject {
    const path = this.#db.dependencies(module)?.path;
    return { module, path: path === undefined ? undefined : this.#db.source.resolve(path) };
  }

  async #answer(each: ModinfoSubject | { readonly target: string; readonly error: string }): Promise<Answer> {
    if ('target' in each) return each;
    const { module, path } = each;
    if (isAboutFile(this.#request.field)) return { subject: each };
    try {
      const info = path === undefined ? this.#builtinInfo(module) : await this.#reader.use(path, (image) => parseModuleInfo(image, path));
      if (info) return { subject: each, info };
      // A kernel without a list of its built-in modules is an old one, and no error.
      return path === undefined ? { subject: each } : { subject: each, error: unread(module, 'ENOENT'), detail: `${path}: no section .modinfo` };
    } catch (error) {
      return { subject: each, error: unread(module, unreadCode(error)), detail: messageOf(error) };
    }
  }

  #builtinInfo(module: string): ModuleInfo | undefined {
    const name = 'modules.builtin.modinfo';
    const { bytes } = (this.#builtin ??= { bytes: this.#db.source.readIndex(name) });
    return bytes && parseBuiltinInfo(bytes, module, this.#db.source.resolve(name));
  }

  #print(answer: Answer): void {
    const { field, separator, json } = this.#request;
    if (json) this.#write(jsonOf(answer, field, separator));
    else if ('subject' in answer) {
      const { subject, info } = answer;
      if (info && (field === undefined || field === 'parm')) this.#sayBadParameters(info);
      this.#write(formatSubject(subject, { field, separator }) + (info ? formatInfo(info, { field, separator }) : ''));
    }
    if (answer.error === undefined) return;
    this.#say(answer.error);
    this.#failed = true;
  }

  #sayBadParameters({ badParameters }: ModuleInfo): void {
    for (const { key, value } of badParameters) this.#say(`Found invalid "${key}=${value}": missing ':'`);
  }

  #write(text: string): void {
    this.#unwritten += text;
    if (this.#unwritten.length >= this.#writtenAtOnce) this.#flush();
  }

  #flush(): void {
    if (this.#unwritten !== '') this.#context.stdout(this.#unwritten);
    this.#unwritten = '';
  }

  /** After what was printed before it: both may be one file. */
  #say(text: string): void {
    this.#flush();
    this.#context.stderr(`${this.#context.program}: ERROR: ${text}\n`);
  }
}

function jsonOf(answer: Answer, field: string | undefined, end: '\n' | '\0'): string {
  if (!('subject' in answer)) return jsonLine('error', { target: answer.target, error: answer.error }, end);
  const { subject, info, error, detail } = answer;
  return error === undefined ? jsonLine('module-info', infoObject(subject, info, field), end) : jsonLine('error', { ...subject, error, detail }, end);
}

function isModuleFile(target: string): boolean {
  return MODULE_FILE.test(target) && (statSync(target, { throwIfNoEntry: false })?.isFile() ?? false);
}

function fileSubject(path: string): ModinfoSubject {
  return { module: moduleNameOfPath(path), path: absolutePath(path) };
}

function unread(module: string, code: string): string {
  return `could not get modinfo from '${module}': ${errnoText(errnoByName(code) ?? 0)}`;
}
