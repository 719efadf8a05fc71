// A rule in TypeScript: what it is given, and what it may ask for.

import type { Device } from '../device.ts';

/**
 * The export `rule` of a file `NN-name.rules.mjs` (or .js, .mts, .ts) in a rules directory. It is called for every event, also `remove`, in the
 * order of the files' names. Nothing (undefined) means that it does not match.
 */
export type DeviceRule = (device: Device, event: DeviceEvent) => RuleActions | undefined | void | Promise<RuleActions | undefined | void>;

/** The event as the rules before this one left it. */
export type DeviceEvent = {
  /** `add`, `remove`, `change`, `move`, `online`, `offline`, `bind`, `unbind`. */
  readonly action: string;
  /** What ENV sees: a copy. */
  readonly properties: ReadonlyMap<string, string>;
  /** Below /dev. */
  readonly symlinks: readonly string[];
  readonly tags: readonly string[];
  /** What the database keeps from earlier events: what IMPORT{db} sees. */
  readonly stored: ReadonlyMap<string, string>;
  /** Of a network interface, when a rule named it. */
  readonly name: string | undefined;
  readonly owner: number | undefined;
  readonly group: number | undefined;
  readonly mode: number | undefined;
  /** Aborted when the time is over (RULE_TIMEOUT_MS) or the daemon ends. */
  readonly signal: AbortSignal;
};

/** What `+=`, `=` and `:=` are in .rules files. */
export type RuleOperator = '=' | '+=' | ':=';

/** What a rule asks for: each is an assignment of a .rules file, with the same limits. `$` and `%` mean nothing here. */
export type RuleActions = {
  /** ENV. `null` removes; numbers and booleans (`1`, `0`) become text. A leading dot keeps a property out of the database. */
  readonly properties?: Readonly<Record<string, string | number | boolean | null>>;
  /** SYMLINK, one a text; below /dev. */
  readonly symlinks?: readonly string[];
  readonly tags?: readonly string[];
  /** OWNER and GROUP: a name or an id. */
  readonly owner?: string | number;
  readonly group?: string | number;
  /** Permission bits as a number (0o660), or octal digits. */
  readonly mode?: string | number;
  /** NAME, of a network interface. */
  readonly name?: string;
  /** RUN: a program with its arguments, or a builtin. */
  readonly run?: readonly (string | { readonly builtin: string })[];
  /** ATTR: written at once, by the name of the attribute. */
  readonly attributes?: Readonly<Record<string, string | number>>;
  /** SYSCTL: written at once. */
  readonly sysctls?: Readonly<Record<string, string | number>>;
  readonly options?: {
    readonly linkPriority?: number;
    readonly watch?: boolean;
    readonly dbPersist?: boolean;
    readonly stringEscape?: 'none' | 'replace';
  };
  /** `=` and `:=` in place of `+=` for the three lists, `:=` in place of `=` for the others. */
  readonly operators?: Partial<Record<'symlinks' | 'tags' | 'run', RuleOperator>> & Partial<Record<'owner' | 'group' | 'mode' | 'name' | 'watch', '=' | ':='>>;
};
