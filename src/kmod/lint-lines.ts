// What lint says of the lines of one modprobe.d file as text: what cannot be read, what is dropped, what is no comment.

import { ConfigBuilder, logicalLines, parseConfig } from './config.ts';
import { type Finding, finding } from './lint-finding.ts';
import { nearestName } from './nearest.ts';

/** What each directive wants behind it. */
const DIRECTIVES: Readonly<Record<string, string>> = {
  alias: 'PATTERN MODULE', blacklist: 'MODULE', install: 'MODULE COMMAND', options: 'MODULE PARAMETER…',
  remove: 'MODULE COMMAND', softdep: 'MODULE pre: MODULE… post: MODULE…', weakdep: 'MODULE MODULE…',
};

/** Words that count, the directive included; more are dropped. The other directives take all. */
const WORDS_MAX: Readonly<Record<string, number>> = { alias: 3, blacklist: 2 };

/** Lines that are bad, and lines that say more than is read. */
export function lintLines(text: string, file: string): Finding[] {
  const findings: Finding[] = [];
  const builder = new ConfigBuilder();
  parseConfig(text, file, builder);
  const bad = new Set(builder.problems.map(({ line }) => line));
  let previous = 0;
  for (const { text: line, line: number } of logicalLines(text, { comments: true })) {
    const source = { file, line: number };
    const say = (severity: Finding['severity'], code: string, message: string) => findings.push(finding(severity, code, source, message));
    const words = line.split(/[ \t]+/).filter(Boolean);
    const [directive = ''] = words;
    const max = WORDS_MAX[directive];
    if (bad.has(number)) findings.push({ ...source, ...explain(words) });
    else if (line.startsWith('#')) {
      if (number > previous + 1) say('warning', 'continued-comment', `the comment goes on to this line: line ${previous + 1} ends in a backslash`);
      if (/^#\s+tsmodprobe:/.test(line)) say('warning', 'bad-own-line', 'only a comment: no blank may stand between # and tsmodprobe:');
    } else if (words.slice(1).some((word) => word.startsWith('#')) && !['install', 'remove'].includes(directive)) {
      say('error', 'trailing-comment', 'a comment must be a line of its own: what follows # here is read as a part of the directive');
    } else if (max !== undefined && words.length > max) {
      say('error', 'extra-words', `${directive} takes ${max === 2 ? 'one name' : 'two names'}: '${words.slice(max).join(' ')}' is dropped`);
    } else if (directive === 'softdep' && words[2] !== 'pre:' && words[2] !== 'post:') {
      say('error', 'softdep-without-keyword', `'${words.slice(2).find((word) => word !== 'pre:' && word !== 'post:') ?? ''}' is dropped: it must follow pre: or post:`);
    }
    previous = number;
  }
  const carriageReturn = text.split('\n').findIndex((line) => line.endsWith('\r'));
  if (carriageReturn >= 0) {
    findings.push(finding('error', 'carriage-return', { file, line: carriageReturn + 1 },
      'the line ends in a carriage return, which becomes a part of its last word (a file of DOS or Windows?); said once for the file'));
  }
  return findings;
}

/** Why a line is skipped. */
function explain(words: readonly string[]): Pick<Finding, 'severity' | 'code' | 'message'> {
  const [directive = '', name] = words;
  if (directive.startsWith('#tsmodprobe:')) {
    return { severity: 'error', code: 'bad-own-line', message: `line skipped: it must read '#tsmodprobe: deny MODULE…'` };
  }
  if (directive.startsWith('#')) return { severity: 'note', code: 'indented-comment', message: 'a comment that does not begin the line: modprobe complains of it each time, and skips it' };
  if (directive === 'include' || directive === 'config') {
    return { severity: 'error', code: 'include', message: `line skipped: ${directive} does not exist any more; all *.conf files of the directory are read` };
  }
  const wanted = Object.hasOwn(DIRECTIVES, directive) ? DIRECTIVES[directive] : undefined;
  if (wanted !== undefined) {
    const brackets = name !== undefined && /[[\]]/.test(name) ? `; the brackets in '${name}' do not match` : '';
    return { severity: 'error', code: 'bad-line', message: `line skipped: it must read '${directive} ${wanted}'${brackets}` };
  }
  const meant = nearestName(directive, Object.keys(DIRECTIVES));
  const hint = meant !== undefined ? ` (did you mean ${meant}?)` : directive === 'deny' ? ` (it is written '#tsmodprobe: deny ${name ?? 'MODULE'}')` : '';
  return { severity: 'error', code: 'unknown-directive', message: `line skipped: unknown directive '${directive}'${hint}` };
}
