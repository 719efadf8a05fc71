// Every command has its page in docs/man, and the page has every option that its --help has, and no other.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { helpApplet } from '../../src/applets/help.ts';
import { parseHelpOptions } from '../../src/applets/help-options.ts';
import { type Block, type Line, parseMarkdown, plainText } from '../../src/applets/markdown.ts';
import { roffPage } from '../../src/applets/page-roff.ts';
import { textPage } from '../../src/applets/page-text.ts';
import { fixtureRoot } from '../fixture-root.ts';
import { everyApplet } from './every-applet.ts';
import { runApplet } from './run-applet.ts';

const TOP = join(import.meta.dirname, '../..');
const MAN = join(TOP, 'docs/man');
const KMOD_AND_UDEV = ['modprobe', 'insmod', 'rmmod', 'lsmod', 'modinfo', 'depmod', 'udevd', 'udevadm'];
const applets = await everyApplet();

/** `modprobe` has tsmodprobe.8, `lint` tskmod-lint.8, and `udevadm info` the section `info` of tsudevadm.8. */
function pageOf(words: string): { readonly file: string; readonly section: string | undefined } {
  const [name = '', section] = words.split(' ');
  return { file: `${KMOD_AND_UDEV.includes(name) ? `ts${name}` : `tskmod-${name}`}.8.md`, section };
}

/** The options of the lists of a page: of the section of that name, or, of a command, of all that are not a subcommand's. */
function pageOptions(blocks: readonly Block[], section: string | undefined, subcommands: readonly string[]): Map<string, Line> {
  const found = new Map<string, Line>();
  let heading = '';
  for (const block of blocks) {
    if (block.kind === 'heading' && block.level <= 2) heading = block.text.split(' ')[0] ?? '';
    if (block.kind !== 'list' || (section === undefined ? subcommands.includes(heading) : heading !== section)) continue;
    for (const { tag, text } of block.items) for (const span of tag ?? []) if (span.text.startsWith('-')) found.set(/^--?[\w-]+/.exec(span.text)?.[0] ?? span.text, text);
  }
  return found;
}

function help(...argv: string[]) {
  return runApplet(helpApplet, argv, { root: fixtureRoot({}) });
}

describe('the pages of commands', () => {
  it.each([...applets])('%s', async (words, applet) => {
    const { file, section } = pageOf(words);
    expect(readdirSync(MAN), `tskmod ${words} has no page: write docs/man/${file}`).toContain(file);
    const blocks = parseMarkdown(readFileSync(join(MAN, file), 'utf8'));
    const paged = pageOptions(blocks, section, (applet.subcommands ?? []).map(({ name }) => name));
    const { stdout } = await runApplet(applet, ['--help'], { root: fixtureRoot({}) });
    const told = parseHelpOptions(stdout).flatMap(({ spellings }) => spellings);
    expect({ missing: told.filter((option) => !paged.has(option)), unknown: [...paged.keys()].filter((option) => !told.includes(option)) }, `docs/man/${file}`).toEqual({ missing: [], unknown: [] });
    expect([...paged].filter(([, text]) => text.length === 0).map(([option]) => option), 'without a text').toEqual([]);
  });

  it('all belong to a command or to files, and begin with their name and a summary', () => {
    const known = new Set([...applets.keys()].map((words) => pageOf(words).file));
    expect(readdirSync(MAN).filter((file) => !known.has(file))).toEqual(['tskmod.8.md', 'tsmodprobe.d.5.md']);
    for (const file of readdirSync(MAN)) {
      const [, name = '', section = ''] = /^(.+)\.(\d)\.md$/.exec(file) ?? [];
      const [title, summary, first] = parseMarkdown(readFileSync(join(MAN, file), 'utf8'));
      expect({ file, title, kinds: [summary?.kind, first] }).toEqual({ file, title: { kind: 'heading', level: 1, text: `${name}(${section})` }, kinds: ['paragraph', { kind: 'heading', level: 2, text: 'Synopsis' }] });
    }
  });

  it('refer only to pages that are there, or that are of other programs', async () => {
    const { stdout } = await help('--list');
    const pages = new Set(stdout.split('\n').map((line) => line.split(' ')[0] ?? ''));
    const named = readdirSync(MAN).flatMap((file) => [...readFileSync(join(MAN, file), 'utf8').matchAll(/\bts[\w.-]+\(\d\)/g)].map(([page]) => page));
    expect(named.filter((page) => !pages.has(page))).toEqual([]);
  });
});

describe('tskmod help', () => {
  it.each([
    [['modprobe'], 'tsmodprobe(8)'], [['tsmodprobe'], 'tsmodprobe(8)'], [['lint'], 'tskmod-lint(8)'], [['tskmod'], 'tskmod(8)'],
    [['modprobe.d'], 'tsmodprobe.d(5)'], [['images'], 'tsmodprobe-images(7)'], [['rules'], 'tsmodprobe-rules(7)'], [['udevadm', 'wait'], 'tsudevadm(8)'],
  ])('%j', async (words, page) => {
    const { status, stdout } = await help(...words);
    expect({ status, name: stdout.split('\n').slice(0, 2).join('\n') }).toEqual({ status: 0, name: expect.stringMatching(`^NAME\n {7}${page.replace(/[().]/g, '\\$&')} - `) as string });
    expect(stdout.split('\n').filter((line) => line.includes('\x1b'))).toEqual([]);
  });

  it('shows one subcommand of udevadm', async () => {
    const { stdout } = await help('udevadm', 'wait');
    expect(stdout).toContain('tsudevadm wait [OPTIONS] DEVICE...');
    expect(stdout).not.toContain('--export-db');
  });

  it('refuses what has no page', async () => {
    expect(await help('nothing')).toEqual({ status: 1, stdout: '', stderr: "help: no page of 'nothing'; --list tells them\n" });
    expect(await help('udevadm', 'nothing')).toEqual({ status: 1, stdout: '', stderr: "help: tsudevadm(8) has no section of 'nothing'\n" });
    expect(await help()).toEqual({ status: 1, stdout: '', stderr: 'help: name one command or file; --list tells the pages\n' });
  });
});

const SAMPLE = parseMarkdown(`## Some
A *word* and **two** of \`-x\`, a
second line with [a link](other.md) \\* no list.

- \`-a\`, \`--all\`: every one of them, also those that need a second line
- a bullet
  goes on

| one | two | three |
|---|---|---|
| \`a|b\` | c | d |

\`\`\`
.code \\ 'it'
\`\`\`
`);

describe('a page', () => {
  it('is wrapped for a width', () => {
    expect(textPage(SAMPLE, { columns: 40, styled: false })).toBe(`SOME
       A word and two of -x, a second
       line with a link * no list.

       -a, --all
              every one of them, also
              those that need a second
              line
       • a bullet goes on

       a|b
              c
              three: d

           .code \\ 'it'
`);
    expect(textPage(SAMPLE.slice(0, 2), { columns: 40, styled: true }).split('\n')[1]).toBe('       A \x1b[4mword\x1b[24m and \x1b[1mtwo\x1b[22m of \x1b[1m-x\x1b[22m, a second');
  });

  it('is roff', () => {
    expect(roffPage(SAMPLE, { name: 'some', section: '8', summary: 'a sample — of all', version: '1.2' })).toBe(`.TH "SOME" 8 "" "tsmodprobe 1.2" "tsmodprobe manual"
.nh
.ad l
.SH NAME
some \\- a sample \\[u2014] of all
.SH "SOME"
A \\fIword\\fR and \\fBtwo\\fR of \\fB\\-x\\fR, a second line with a link * no list.
.TP
\\fB\\-a\\fR, \\fB\\-\\-all\\fR
every one of them, also those that need a second line
.IP \\(bu 2
a bullet goes on
.TP
\\fBa|b\\fR
c
.br
three: d
.PP
.RS 4
.nf
\\&.code \\e \\(aqit\\(aq
.fi
.RE
`);
  });

  it('has its words in plain text', () => {
    const [, paragraph] = SAMPLE;
    expect(paragraph?.kind === 'paragraph' && plainText(paragraph.text)).toBe('A word and two of -x, a second line with a link * no list.');
  });
});
