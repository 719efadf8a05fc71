// help: the manual page of a command or of a file, as text or as roff.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { UsageError } from '../errors.ts';
import { VERSION } from '../version.ts';
import type { Applet, AppletContext } from './applet.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import type { Block } from './markdown.ts';
import { pageBlocks, roffPage } from './page-roff.ts';
import { textPage } from './page-text.ts';
import { answersHelp } from './standard-options.ts';

const OPTIONS: readonly OptionSpec[] = [{ long: 'list' }, { long: 'roff' }, { long: 'help', short: 'h' }, { long: 'version', short: 'V' }];

const HELP = `Usage: tskmod help [OPTION]... COMMAND [SUBCOMMAND]
Show the manual page of a command (modprobe, lint, udevadm), of one subcommand of
udevadm, or of files (modprobe.d, images, rules).

      --list     the pages, one a line: name, section, summary
      --roff     as man(1) wants it: tskmod help --roff modprobe | man -l -
  -V, --version
  -h, --help

Lines are as wide as $MANWIDTH or the terminal, and 80 in a pipe.

Exit status: 0; 1 where there is no such page.
`;

/** Documents that are pages, too. By their names in docs/. */
const DOCUMENTS: Readonly<Record<string, Omit<Page, 'path'>>> = {
  'modules-in-one-file.md': { name: 'tsmodprobe-images', section: '7', summary: 'modules in one file, in layers, and without indexes' },
  'typescript-rules.md': { name: 'tsmodprobe-rules', section: '7', summary: 'udev rules in TypeScript' },
  'test-rules.md': { name: 'tsmodprobe-cases', section: '5', summary: 'cases that udev rules are tested with' },
  'machine.md': { name: 'tsmodprobe-machine', section: '7', summary: 'recordings of machines, and how they are judged' },
  'json.md': { name: 'tsmodprobe-json', section: '7', summary: 'what --json prints' },
};

/** Beyond this, lines are hard to read. */
const COLUMNS_MAX = 100;
const COLUMNS_DEFAULT = 80;

export type Page = { readonly name: string; readonly section: string; readonly summary: string; readonly path: string };

export const helpApplet: Applet = {
  name: 'help',
  summary: 'show the manual page of a command',
  options: OPTIONS,
  async run(argv, context) {
    const { options, operands: [word, subcommand, ...more] } = getopt(argv, OPTIONS, context.program);
    const given = new Set(options.map(({ name }) => name));
    if (answersHelp(given, HELP, context)) return 0;
    const directory = documents();
    if (directory === undefined) throw new UsageError(`${context.program}: no pages are beside this program: see COMMAND --help`);
    const pages = readPages(directory);
    if (given.has('list')) {
      for (const { name, section, summary } of pages) context.stdout(`${`${name}(${section})`.padEnd(24)}${summary}\n`);
      return 0;
    }
    if (word === undefined || more.length > 0) throw new UsageError(`${context.program}: name one command or file; --list tells the pages`);
    const page = findPage(pages, word);
    if (!page) throw new UsageError(`${context.program}: no page of '${word}'; --list tells them`);
    const blocks = pageBlocks(readFileSync(page.path, 'utf8'));
    const shown = subcommand === undefined ? blocks : sectionOf(blocks, subcommand);
    if (shown.length === 0) throw new UsageError(`${context.program}: ${page.name}(${page.section}) has no section of '${subcommand}'`);
    context.stdout(given.has('roff') ? roffPage(shown, { ...page, version: VERSION }) : textOf(page, shown, context));
    return 0;
  },
};

function textOf({ name, section, summary }: Page, blocks: readonly Block[], context: AppletContext): string {
  const head: Block[] = [{ kind: 'heading', level: 2, text: 'Name' }, { kind: 'paragraph', text: [{ text: `${name}(${section}) - ${summary}`, style: 'plain' }] }];
  const columns = Math.min(COLUMNS_MAX, Number(context.env['MANWIDTH']) || (context.isTty.stdout ? process.stdout.columns : 0) || COLUMNS_DEFAULT);
  return textPage([...head, ...blocks], { columns, styled: context.isTty.stdout && context.env['TERM'] !== 'dumb' });
}

/** From its heading to the next of that level. */
function sectionOf(blocks: readonly Block[], word: string): readonly Block[] {
  const begins = (block: Block): boolean => block.kind === 'heading' && block.level === 2;
  const start = blocks.findIndex((block) => begins(block) && block.kind === 'heading' && block.text.split(' ')[0] === word);
  if (start < 0) return [];
  const length = blocks.slice(start + 1).findIndex(begins);
  return blocks.slice(start, length < 0 ? undefined : start + 1 + length);
}

/** `modprobe`, `tsmodprobe`, `lint`, `tskmod-lint`, `modprobe.d`, `images`: as people would say it. */
function findPage(pages: readonly Page[], word: string): Page | undefined {
  const wanted = [word, `ts${word}`, `tskmod-${word}`, `tsmodprobe-${word}`];
  return wanted.map((each) => pages.find(({ name }) => name === each)).find((page) => page !== undefined);
}

/** By name. The first two lines of docs/man/NAME.SECTION.md are `# NAME(SECTION)` and its summary. */
function readPages(directory: string): Page[] {
  const commands = readdirSync(join(directory, 'man')).flatMap((file): Page[] => {
    const [, name, section] = /^(.+)\.(\d)\.md$/.exec(file) ?? [];
    if (name === undefined || section === undefined) return [];
    const path = join(directory, 'man', file);
    return [{ name, section, path, summary: /^#.*\n+(.*)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '' }];
  });
  const others = Object.entries(DOCUMENTS).map(([file, page]) => ({ ...page, path: join(directory, file) })).filter(({ path }) => existsSync(path));
  return [...commands, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** docs/ beside the executable, or above it in the package. */
function documents(): string | undefined {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (let level = 0; level < 4; level++, directory = dirname(directory)) {
    const docs = join(directory, 'docs');
    if (existsSync(join(docs, 'man'))) return docs;
  }
  return undefined;
}
