// What lint says: one finding and how grave it is, the order of several, and how names are told in a message.

import type { Source } from './probe.ts';

/** `error`: wrong, or surely without effect. `warning`: does less than it looks. `note`: good to know. */
export type Severity = 'error' | 'warning' | 'note';

/** `code` is stable and short (`blacklist-bypassed`); `message` is for people. What has no lines, such as a file that is not read, has no `line`. */
export type Finding = Source & { readonly severity: Severity; readonly code: string; readonly message: string };

/** Names that a message lists before it only counts. */
const NAMES_SHOWN = 3;

export function finding(severity: Severity, code: string, { file, line }: Source, message: string): Finding {
  return { severity, code, file, ...(line === undefined ? {} : { line }), message };
}

/** By file and line; what is of the whole file comes first. Of one line, in the order in which they were found. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : (a.line ?? 0) - (b.line ?? 0)));
}

export function placeOf({ file, line }: Source): string {
  return line === undefined ? file : `${file}:${line}`;
}

/** Another place, as a message about `here` names it. */
export function placeFrom(here: Source, there: Source): string {
  return there.file === here.file && there.line !== undefined ? `line ${there.line}` : placeOf(there);
}

/** `a, b, c and 4 more`. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).join(', ');
  return names.length > NAMES_SHOWN ? `${shown} and ${names.length - NAMES_SHOWN} more` : shown;
}

/** What kmod and we have for a module that must never be loaded. */
export function refusal(module: string): string {
  return `\`#tsmodprobe: deny ${module}\`, or for kmod too \`install ${module} /bin/false\``;
}
