// What the rules ask for one event, as data: the handlers of the daemon, `apply`, and `test` all read this.

export type EventResult = {
  /** All properties after the rules, also those with a leading dot, which never reach the database. */
  readonly properties: ReadonlyMap<string, string>;
  /** Those that rules and builtins set: what the database keeps (`E:`). None has a leading dot. */
  readonly databaseProperties: ReadonlyMap<string, string>;
  /** Tags that the device ever had, and those that it has now. */
  readonly tags: ReadonlySet<string>;
  readonly currentTags: ReadonlySet<string>;
  /** Below /dev, in the order in which they were added. */
  readonly links: readonly string[];
  readonly linkPriority: number;
  /** The new name of a network interface. */
  readonly name: string | undefined;
  /** Undefined: the rules said nothing. Names are resolved. */
  readonly owner: number | undefined;
  readonly group: number | undefined;
  /** Permission bits. */
  readonly mode: number | undefined;
  readonly seclabels: ReadonlyMap<string, string>;
  readonly run: readonly RunEntry[];
  /** OPTIONS watch and nowatch; undefined: nothing said. */
  readonly watch: boolean | undefined;
  readonly dbPersist: boolean;
};

export type RunEntry = {
  readonly type: 'program' | 'builtin';
  /** Substituted. */
  readonly command: string;
  /** The rule that asked for it. */
  readonly source: RuleSource;
};

export type RuleSource = { readonly file: string; readonly line: number };

/** What one token of one line found: `test -v`, `test-rules`, and coverage read it. Recorded only when asked for. */
export type TraceEntry = RuleSource & {
  readonly token: string;
  readonly outcome: 'match' | 'no-match' | 'applied' | 'refused' | 'failed';
  /** What a match compared with, or what an assignment wrote. */
  readonly saw?: string;
};
