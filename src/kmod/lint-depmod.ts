// What lint says of depmod.d: lines that are skipped, and lines that name what is not in the tree.

import { logicalLines } from './config.ts';
import { type ConfigText, isReleasePattern, matchesRelease } from './depmod-config.ts';
import { type Finding, finding, placeFrom } from './lint-finding.ts';
import { nearestName } from './nearest.ts';
import type { Source } from './probe.ts';

/** What is on the disk, as far as lines name it. */
export type DepmodTree = {
  readonly release: string;
  /** All paths below the tree, directories too; undefined where there is no tree. */
  readonly paths: ReadonlySet<string> | undefined;
  isDirectory(path: string): boolean;
  isVendor(source: Source): boolean;
};

/** What each directive wants behind it, and how many words at least and at most. */
const DIRECTIVES: Readonly<Record<string, readonly [form: string, least: number, most: number]>> = {
  search: ['DIRECTORY…', 1, Infinity], override: ['MODULE RELEASE DIRECTORY', 3, 3], external: ['RELEASE DIRECTORY', 2, 2], exclude: ['NAME…', 1, Infinity],
};

type Line = { readonly words: readonly string[]; readonly source: Source };

/** Source of what each line does: depmod.d(5), and what kmod 34 does with it. */
export function lintDepmod(files: readonly ConfigText[], tree: DepmodTree): Finding[] {
  const lines = files.flatMap(({ file, text }) => [...logicalLines(text)].map(({ text: content, line }) => ({ words: content.split(/[ \t]+/).filter(Boolean), source: { file, line } })))
    .filter(({ words }) => words.length > 0);
  const of = (directive: string): Line[] => lines.filter(({ words }) => words[0] === directive && words.length > (DIRECTIVES[directive]?.[1] ?? 0))
    .map(({ words, source }) => ({ words: words.slice(1), source }));
  const searches = of('search');
  return [
    ...lines.flatMap(lintForm),
    ...lintSearch(searches, of('external'), tree), ...lintOverrides(of('override'), tree), ...lintExternals(of('external'), searches, tree), ...lintExcludes(of('exclude'), tree),
  ];
}

function lintForm({ words: [directive = '', ...words], source }: Line): Finding[] {
  const bad = (code: string, message: string) => [finding('error', code, source, message)];
  if (directive.startsWith('#')) return [finding('note', 'indented-comment', source, 'a comment that does not begin the line: depmod complains of it each time, and skips it')];
  if (directive === 'include' || directive === 'make_map_files') return bad('not-implemented', `no effect: no depmod of today knows ${directive}${directive === 'include' ? '; all *.conf files of the directory are read' : ''}`);
  const form = Object.hasOwn(DIRECTIVES, directive) ? DIRECTIVES[directive] : undefined;
  if (!form) {
    const meant = nearestName(directive.toLowerCase(), Object.keys(DIRECTIVES));
    return bad('unknown-directive', `line skipped: unknown directive '${directive}'${meant === undefined ? '' : ` (did you mean ${meant}?)`}`);
  }
  const [wanted, least, most] = form;
  // search and exclude without words are no error for depmod.
  if (words.length < least) return bad('bad-line', `${most === Infinity ? 'no effect' : 'line skipped'}: it must read '${directive} ${wanted}'`);
  if (words.some((word) => word.startsWith('#'))) return bad('trailing-comment', 'a comment must be a line of its own: what follows # here is read as a part of the directive');
  return words.length > most ? bad('extra-words', `'${words.slice(most).join(' ')}' is dropped: it must read '${directive} ${wanted}'`) : [];
}

function lintSearch(searches: readonly Line[], externals: readonly Line[], tree: DepmodTree): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, Source>();
  const [first] = searches;
  for (const { words, source } of searches) {
    if (first && source !== first.source) findings.push(finding('warning', 'search-twice', source, `does not replace ${placeFrom(source, first.source)}: its directories come behind those, with lower priority`));
    for (const word of words) {
      const before = seen.get(word);
      const problem = before ? `stands in ${placeFrom(source, before)} already, which counts` : searchProblem(word, externals, tree);
      seen.set(word, before ?? source);
      if (problem === undefined) continue;
      // Distributions name directories that a machine may never have.
      const certain = word.startsWith('/') || word.endsWith('/');
      findings.push(finding(certain ? 'error' : tree.isVendor(source) || before ? 'note' : 'warning', before ? 'duplicate' : 'search-nothing', source, `${word}: ${problem}`));
    }
  }
  return findings;
}

function searchProblem(word: string, externals: readonly Line[], { paths }: DepmodTree): string | undefined {
  if (word === 'built-in') return undefined;
  if (word === 'external') return externals.length === 0 ? 'no effect: there is no external line' : undefined;
  if (word.startsWith('/')) return 'no effect: directories are named below the tree; others need an external line';
  if (word.endsWith('/')) return `no effect: depmod wants no slash at the end (${word.replace(/\/+$/, '')})`;
  return paths && !paths.has(word) ? 'no effect: there is no such directory in the tree' : undefined;
}

function lintOverrides(overrides: readonly Line[], tree: DepmodTree): Finding[] {
  return overrides.flatMap(({ words: [module = '', release = '', directory = ''], source }, index) => {
    const dead = (severity: Finding['severity'], code: string, message: string) => [finding(severity, code, source, `no effect: ${message}`)];
    const badRelease = releaseProblem(release, source);
    if (badRelease) return [badRelease];
    if (!matchesRelease(release, tree.release) || !tree.paths) return [];
    if (/\.ko(?:\.\w+)?$/.test(module)) return dead('error', 'override-nothing', `${module} is a file; name the module: ${module.replace(/\.ko(?:\.\w+)?$/, '')}`);
    if (directory.startsWith('/') || directory.endsWith('/')) return dead('error', 'override-nothing', `${directory}: directories are named below the tree, without a slash at either end`);
    const severity = tree.isVendor(source) ? 'note' : 'warning';
    const files = [...tree.paths].filter((path) => isFileOf(path, module));
    if (files.length === 0) {
      const other = [...tree.paths].find((path) => isFileOf(path.replaceAll('-', '_'), module.replaceAll('-', '_')));
      return other === undefined ? dead(severity, 'no-such-module', `there is no module ${module} in the tree`)
        : dead('error', 'override-nothing', `the module must be named as its file is: ${nameOf(other)}`);
    }
    if (!files.some((path) => path.slice(0, path.lastIndexOf('/')) === directory)) return dead(severity, 'override-nothing', `${directory} holds no file of ${module} (it is ${files.join(', ')})`);
    const later = overrides.slice(index + 1).find(({ words }) => words[0] === module && matchesRelease(words[1] ?? '', tree.release) && files.some((path) => path.startsWith(`${words[2]}/`)));
    if (later) return dead('warning', 'override-twice', `${placeFrom(source, later.source)} overrides the same module, and the later line counts`);
    return files.length === 1 ? dead('note', 'override-nothing', `${files[0]} is the only file of ${module}`) : [];
  });
}

function lintExternals(externals: readonly Line[], searches: readonly Line[], tree: DepmodTree): Finding[] {
  return externals.flatMap(({ words: [release = '', directory = ''], source }) => {
    const badRelease = releaseProblem(release, source);
    if (badRelease) return [badRelease];
    if (!matchesRelease(release, tree.release)) return [];
    if (!directory.startsWith('/')) return [finding('error', 'external-nothing', source, `${directory} must begin with a slash: depmod looks for it below the directory that it is called in`)];
    if (!tree.isDirectory(directory)) return [finding(tree.isVendor(source) ? 'note' : 'warning', 'external-nothing', source, `no effect: there is no directory ${directory}`)];
    if (searches.some(({ words }) => words.includes('external'))) return [];
    return [finding('note', 'external-unlisted', source, `modules of ${directory} never replace those of the tree: no search line has the word external`)];
  });
}

function lintExcludes(excludes: readonly Line[], { paths, isVendor }: DepmodTree): Finding[] {
  const names = new Set([...paths ?? []].map((path) => path.slice(path.lastIndexOf('/') + 1)));
  return excludes.flatMap(({ words, source }) => words.flatMap((word) => {
    if (word.includes('/')) return finding('error', 'exclude-nothing', source, `${word}: no effect: exclude takes names of files and directories, not paths`);
    if (!paths || names.has(word)) return [];
    const file = [...names].find((name) => nameOf(name) === word);
    if (file !== undefined) return finding('error', 'exclude-nothing', source, `${word}: no effect: the file must be named as it is: ${file}`);
    return finding(isVendor(source) ? 'note' : 'warning', 'exclude-nothing', source, `${word}: no effect: nothing in the tree has that name`);
  }));
}

function releaseProblem(release: string, source: Source): Finding | undefined {
  return isReleasePattern(release) ? undefined
    : finding('error', 'bad-release', source, `no effect: '${release}' matches no kernel: it must be * or an extended regular expression, such as ^6\\.12\\.`);
}

function isFileOf(path: string, module: string): boolean {
  return nameOf(path) === module;
}

/** The name of a module file without its extensions; '' for other files. */
function nameOf(path: string): string {
  return /([^/]+?)\.ko(?:\.(?:gz|xz|zst))?$/.exec(path)?.[1] ?? '';
}
