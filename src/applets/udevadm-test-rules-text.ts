// How `udevadm test-rules` shows its results: cases with their differences, and the rules with how often they matched.

import type { CaseReport, CaseRunner } from '../udev/rules/test-run.ts';

/** Names that are longer are in a table by themselves. */
const COLUMN_MAX = 72;
/** Rules that never matched, where not all are asked for. */
const LISTED_MAX = 40;

export type CoverageLine = { readonly file: string; readonly line: number; readonly ran: number; readonly matched: number };

/** One line, and below it what is not as expected: what, expected, found. */
export function formatReport({ file, line, title, ok, differences, unanswered, messages }: CaseReport): string {
  if (ok) return `ok    ${file}:${line}: ${printable(title)}\n`;
  const rows = [['', 'expected', 'found'], ...differences.map(({ what, expected, actual }) => [what, expected ?? '-', actual ?? '-'])].map((row) => row.map(printable));
  const width = (column: number): number => Math.min(COLUMN_MAX, Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const [first, second] = [width(0), width(1)];
  const table = rows.map(([what = '', expected = '', found = '']) => `      ${what.padEnd(first)}  ${expected.padEnd(second)}  ${found}`.trimEnd());
  const notes = [...unanswered.map((asked) => `      no answer for "${printable(asked)}"`), ...messages.map((message) => `      said: ${printable(message)}`)];
  return `${[`FAIL  ${file}:${line}: ${printable(title)}`, ...table, ...notes].join('\n')}\n`;
}

/** Of all lines that can do something. */
export function coverageLines({ rules, coverage }: CaseRunner): readonly CoverageLine[] {
  return rules.files.flatMap(({ lines }) => lines).filter(({ effects }) => effects.length > 0)
    .map((line) => ({ file: line.file, line: line.line, ...(coverage.get(line) ?? { ran: 0, matched: 0 }) }));
}

export function coverageObject(lines: readonly CoverageLine[]): object {
  return { total: lines.length, neverMatched: lines.filter(({ matched }) => matched === 0).map(({ file, line }) => ({ file, line })), lines };
}

/** The rules that never matched, or with `all` every one with its numbers. */
export function formatCoverage(lines: readonly CoverageLine[], { all }: { readonly all: boolean }): string {
  const never = lines.filter(({ matched }) => matched === 0);
  const head = never.length === 0 ? `all ${lines.length} rules matched\n` : `${never.length} of ${lines.length} rules never matched${all ? '' : ':'}\n`;
  if (all) {
    const rows = lines.map(({ file, line, ran, matched }) => `${String(ran).padStart(7)}  ${String(matched).padStart(7)}  ${file}:${line}\n`);
    return `\n    ran  matched\n${rows.join('')}\n${head}`;
  }
  const listed = never.slice(0, LISTED_MAX).map(({ file, line, ran }) => `  ${file}:${line}${ran === 0 ? '  never ran' : ''}\n`);
  const rest = never.length - listed.length;
  return `\n${head}${listed.join('')}${rest > 0 ? `  and ${rest} more: --coverage lists all\n` : ''}`;
}

/** Values come from devices: no escape sequence of theirs shall reach a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
