import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { VERSION } from '../src/version.ts';

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const doc = readFileSync(join(top, 'ARCHITECTURE.md'), 'utf8');

const filesBelow = (folder: string): string[] => readdirSync(join(top, folder), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`).sort();
const sources = [...filesBelow('src'), ...filesBelow('native-bindings')];
const textOf = (file: string) => readFileSync(join(top, file), 'utf8');

type Import = { readonly from: string; readonly to: string; readonly typeOnly: boolean };

/** All imports of a file, own files as paths from the top. */
function importsOf(file: string): Import[] {
  const statements = textOf(file).matchAll(/(?:^(?:import|export)\s+(type\s)?[^;']*?from\s+|^import\s+|\bimport\()'([^']+)'/gm);
  return [...statements].map((match) => {
    const target = match[2] ?? '';
    const to = target.startsWith('.') ? normalize(join(dirname(file), target)) : target;
    return { from: file, to, typeOnly: match[1] !== undefined };
  });
}

/** The rows of the first table whose head begins with `head`, as cells without back-quotes. */
function table(head: string): string[][] {
  const lines = doc.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(line.split('|').slice(1, -1).map((cell) => cell.replaceAll('`', '').trim()));
  }
  return rows;
}

const folderOf = (file: string) => dirname(file);
const rules = new Map(table('folder').map(([folder = '', , allowed = '']) => [folder, allowed.split(',').map((name) => name.trim()).filter(Boolean)]));
const imports = sources.flatMap(importsOf);

describe('the import rules of ARCHITECTURE.md', () => {
  it('name every folder that holds sources, and no other', () => {
    const folders = new Set(sources.map(folderOf).filter((folder) => folder !== 'src'));
    expect([...rules.keys()].sort()).toEqual([...folders].sort());
  });

  it('hold for every import', () => {
    const shared = ['src/errors.ts', 'src/version.ts', 'src/system.ts'];
    const own = imports.filter(({ from, to }) => rules.has(folderOf(from)) && /^(?:src|native-bindings)\//.test(to));
    const broken = own.filter(({ from, to }) => {
      const folder = folderOf(from);
      if (folder === 'native-bindings') return folderOf(to) !== folder && to !== 'src/errors.ts';
      return folderOf(to) !== folder && !shared.includes(to) && !(rules.get(folder) ?? []).includes(folderOf(to));
    });
    expect(broken.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('let only src/system.ts import native-bindings, and only src/cli.ts the applets', () => {
    const outside = (folder: string) => [...new Set(imports.filter(({ from, to }) => folderOf(to) === folder && folderOf(from) !== folder).map(({ from }) => from))];
    expect(outside('native-bindings')).toEqual(['src/system.ts']);
    expect(outside('src/applets')).toEqual(['src/cli.ts']);
  });
});

describe('the pure files of ARCHITECTURE.md', () => {
  const pure = [...doc.slice(doc.indexOf('## Pure files'), doc.indexOf('## A modprobe')).matchAll(/`([^`]+\.ts)`/g)].map((match) => `src/${match[1]}`);

  it('exist', () => {
    expect(pure.filter((file) => !sources.includes(file))).toEqual([]);
    expect(pure.length).toBeGreaterThan(10);
  });

  it('open nothing, start nothing and take no clock', () => {
    const impure = imports.filter(({ from, to }) => pure.includes(from) && /^node:(?:fs|child_process|net|timers|os)/.test(to));
    expect(impure).toEqual([]);
    expect(pure.filter((file) => /\b(?:Date\.now|performance\.now|setTimeout|setInterval)\b/.test(textOf(file)))).toEqual([]);
  });
});

describe('the sources', () => {
  const belowSystem = sources.filter((file) => /^src\/.+\//.test(file));

  it('name no place of the machine below System', () => {
    const named = belowSystem.filter((file) => !EXEMPT.has(file)).flatMap((file) => textOf(file).split('\n')
      .filter((line) => !/^\s*(?:\*|\/\/|\/\*)/.test(line) && /process\.env|osRelease|['"`]\/(?:sys|proc|dev|etc|run)(?:\/|['"`])/.test(line))
      .map((line) => `${file}: ${line.trim()}`));
    expect(named).toEqual([]);
  });

  it('begin with a sentence on what the file knows, and stay under 400 lines', () => {
    expect(sources.filter((file) => !/^\/\/ \S.*[.:]\n/.test(textOf(file)))).toEqual([]);
    expect(sources.filter((file) => textOf(file).split('\n').length > 400)).toEqual([]);
  });

  it('have no default exports, no empty catch and no non-erasable syntax', () => {
    expect(sources.filter((file) => /export default|catch \{\s*\}|^\s*(?:export )?(?:const )?enum |^\s*namespace /m.test(textOf(file)))).toEqual([]);
  });

  it('end the process in src/cli.ts only', () => {
    expect(sources.filter((file) => /^[^/*]*process\.exit\(/m.test(textOf(file)))).toEqual(['src/cli.ts']);
  });

  it('carry the version of the package', () => {
    expect(VERSION).toBe(JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')).version);
  });

  it('import no package that package.json does not list', () => {
    const { dependencies } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
    const foreign = new Set(imports.map(({ to }) => to).filter((to) => !to.startsWith('node:') && !to.endsWith('.ts')));
    expect([...foreign].filter((name) => !(name in dependencies))).toEqual([]);
  });
});

/** Text for a guest, where these places are those of another machine. */
const EXEMPT = new Set(['src/vm/boot-init.ts', 'src/vm/guest-init.ts']);
