// The manual pages, read by both formatters of man pages: mandoc's lint and groff's warnings have nothing to say, and what they print is all of the page.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { parseMarkdown, plainText } from '../../src/applets/markdown.ts';
import { run } from './oracle.ts';

const TOP = join(import.meta.dirname, '../..');
/** How a page for a printer is bold: a character, a step back, the character. */
const OVERSTRUCK = new RegExp(`.${String.fromCharCode(8)}`, 'gu');
const pages = readdirSync(join(TOP, 'dist/man'));

describe('the pages', () => {
  it('are those of docs/man, and documents', () => {
    const sources = readdirSync(join(TOP, 'docs/man')).map((file) => file.replace(/\.md$/, ''));
    expect(pages.filter((page) => !sources.includes(page))).toEqual(['tsmodprobe-cases.5', 'tsmodprobe-images.7', 'tsmodprobe-json.7', 'tsmodprobe-machine.7', 'tsmodprobe-rules.7']);
    expect(sources.filter((source) => !pages.includes(source))).toEqual([]);
  });

  it.each(pages)('%s', (page) => {
    const file = join(TOP, 'dist/man', page);
    // A page has no date: it is that of its release.
    const lint = run('mandoc', ['-Tlint', '-Wwarning', file]).stdout.split('\n').filter((line) => line !== '' && !/missing date|outdated mandoc\.db|referenced manual not found/.test(line));
    expect(lint).toEqual([]);
    const printed = run('groff', ['-man', '-ww', '-Tutf8', '-P-cbou', '-rLL=120n', file]);
    expect({ status: printed.status, stderr: printed.stderr }).toEqual({ status: 0, stderr: '' });
    expect(printed.stdout.length).toBeGreaterThan(500);
  });

  it.each(pages.filter((page) => /\.8$|\.d\.5$/.test(page)))('%s has every word of its source, by groff and by mandoc', (page) => {
    const source = wordsOf(parseMarkdown(readFileSync(join(TOP, 'docs/man', `${page}.md`), 'utf8')).slice(2).flatMap((block) => {
      switch (block.kind) {
        case 'heading':
          return [block.level <= 2 ? block.text.toUpperCase() : block.text];
        case 'paragraph':
          return [plainText(block.text)];
        case 'code':
          return block.lines;
        case 'list':
          return block.items.flatMap(({ tag, text }) => [...(tag ? [plainText(tag)] : []), plainText(text)]);
        case 'table':
          return block.rows.flat().map(plainText);
      }
    }).join('\n'));
    for (const [program, args] of [['groff', ['-man', '-Tutf8', '-P-cbou', '-rLL=1000n']], ['mandoc', ['-Tutf8', '-Owidth=1000']]] as const) {
      const printed = Buffer.from(run(program, [...args, join(TOP, 'dist/man', page)]).stdout, 'latin1').toString('utf8').replaceAll(OVERSTRUCK, '');
      const words = wordsOf(printed.slice(printed.indexOf('SYNOPSIS')));
      expect(words.slice(0, source.length), program).toEqual(source);
    }
  });
});

/** Typographic quotes and hyphens of a formatter are those that were written. */
function wordsOf(text: string): string[] {
  return text.replaceAll(/[‐−]/g, '-').replaceAll(/[‘’]/g, "'").split(/\s+/).filter((word) => word !== '' && word !== '•');
}
