// Whether the rules made of a device what a case expects, and where not.

import type { EventResult } from './event-result.ts';
import type { Expectation } from './test-case.ts';

/** One thing that is not as expected; undefined where one side has nothing. */
export type Difference = {
  /** Of the expectation. */
  readonly line: number;
  readonly what: string;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
};

/** What came of a case, names in place of ids. */
export type CaseResult = Pick<EventResult, 'properties' | 'databaseProperties' | 'currentTags' | 'links' | 'linkPriority' | 'name' | 'watch' | 'dbPersist'> & {
  readonly owner: string | undefined;
  readonly group: string | undefined;
  /** Of the node in the end: also what a group brings with it. */
  readonly mode: number | undefined;
  /** `{builtin} …` or a command, in order. */
  readonly run: readonly string[];
  /** `ATTR{name}=value`, `SYSCTL{name}=value`. */
  readonly writes: readonly string[];
};

/** In the order of the case. */
export function compareResult(expected: readonly Expectation[], result: CaseResult): readonly Difference[] {
  return expected.flatMap((expectation) => compareOne(expectation, result));
}

function compareOne(expectation: Expectation, result: CaseResult): Difference[] {
  const { line } = expectation;
  const single = (what: string, wanted: string | undefined, actual: string | undefined): Difference[] => (
    wanted === actual ? [] : [{ line, what, expected: wanted, actual }]
  );
  switch (expectation.type) {
    case 'links': return compareSets(line, 'link', expectation.values, result.links);
    case 'tags': return compareSets(line, 'tag', expectation.values, [...result.currentTags]);
    case 'run': return compareLists(line, 'run', expectation.values, result.run);
    case 'writes': return compareLists(line, 'write', expectation.values, result.writes);
    case 'property': return single(`property ${expectation.key}`, expectation.text, result.properties.get(expectation.key));
    case 'properties': {
      const keys = new Set([...expectation.values.keys(), ...result.databaseProperties.keys()]);
      return [...keys].flatMap((key) => single(`property ${key}`, expectation.values.get(key), result.databaseProperties.get(key)));
    }
    case 'mode': return single('mode', expectation.text?.padStart(4, '0'), result.mode?.toString(8).padStart(4, '0'));
    case 'owner':
    case 'group':
    case 'name': return single(expectation.type, expectation.text, result[expectation.type]);
    case 'priority': return single('link priority', expectation.text ?? '0', String(result.linkPriority));
    case 'watch': return single('watch', expectation.text, result.watch === undefined ? undefined : result.watch ? 'yes' : 'no');
    case 'persist': return single('db_persist', expectation.text ?? 'no', result.dbPersist ? 'yes' : 'no');
  }
}

function compareSets(line: number, what: string, expected: readonly string[], actual: readonly string[]): Difference[] {
  const missing = expected.filter((value) => !actual.includes(value)).map((value) => ({ line, what, expected: value, actual: undefined }));
  const extra = actual.filter((value) => !expected.includes(value)).map((value) => ({ line, what, expected: undefined, actual: value }));
  return [...missing, ...extra];
}

/** Side by side: the order counts. */
function compareLists(line: number, what: string, expected: readonly string[], actual: readonly string[]): Difference[] {
  if (expected.length === actual.length && expected.every((value, index) => value === actual[index])) return [];
  return Array.from({ length: Math.max(expected.length, actual.length) }, (_, index) => ({ line, what, expected: expected[index], actual: actual[index] }))
    .filter((pair) => pair.expected !== pair.actual);
}
