// What is known of a target and of all that led to it, as plain data: what the explanation is made of.

import type { InitState } from '../kmod/live.ts';
import type { ModuleLoad, Source } from '../kmod/probe.ts';
import type { Decision } from '../udev/decision-record.ts';

/** What the target turned out to be. `request`: an alias that no device has, such as `fs-xfs`. */
export type SubjectKind = 'device' | 'modalias' | 'request' | 'module' | 'file-system' | 'image' | 'unknown';

/** A line that was matched with a modalias or another name. `source` has a line where the index is a text. */
export type AliasLine = {
  /** As it is written, where the line is known. */
  readonly pattern: string;
  readonly module: string;
  readonly source: Source;
  readonly builtin: boolean;
  /** The name under which `options` lines may mean the module, beside its own. */
  readonly alias: string | undefined;
};

/** A line that all but one field agree with: `wanted` is the line's value of `field`, `found` that of the modalias. */
export type NearAlias = Omit<AliasLine, 'alias' | 'builtin'> & { readonly field: string; readonly wanted: string; readonly found: string };

export type AliasFacts = {
  readonly name: string;
  readonly lines: readonly AliasLine[];
  /** Nearest first. */
  readonly near: readonly NearAlias[];
};

export type DriverFacts = {
  readonly name: string;
  /** Undefined where the kernel names none: the driver is part of the kernel. */
  readonly module: string | undefined;
  /** The link in sysfs. */
  readonly path: string;
};

/** A device of the chain, the nearest to the target first. */
export type DeviceFacts = {
  readonly devpath: string;
  readonly sysname: string;
  readonly subsystem: string | undefined;
  /** Its directory in sysfs. */
  readonly path: string;
  readonly modalias: string | undefined;
  readonly driver: DriverFacts | undefined;
};

/** A module that another needs, directly as far as the indexes tell. */
export type NeedFacts = { readonly module: string; readonly symbols: readonly string[] | undefined };

/** A softdep of a module, or one that names it. */
export type SoftdepFacts = { readonly kind: 'pre' | 'post'; readonly owner: string; readonly module: string; readonly source: Source };

export type ConfigLine = { readonly kind: 'options' | 'blacklist' | 'deny' | 'install'; readonly text: string; readonly source: Source };

export type ModuleFacts = {
  readonly module: string;
  /** '' where the indexes know no file of it. */
  readonly path: string;
  readonly builtin: boolean;
  /** The kernel that the module is of, where another runs. */
  readonly otherRelease?: string;
  /** Of the kernel; undefined for one that is not loaded. */
  readonly state: InitState | undefined;
  /** Where `state` was read. */
  readonly statePath: string;
  /** The line of modules.dep. */
  readonly dependencies: Source;
  readonly needs: readonly NeedFacts[];
  readonly softdeps: readonly SoftdepFacts[];
  readonly config: readonly ConfigLine[];
  /** The newest record of the journal. */
  readonly load: ModuleLoad | undefined;
  /** What the kernel says of it, where it is not loaded. */
  readonly kernelLines: readonly string[];
};

/** The rule that loads modules for the device, or why none does. */
export type RuleFacts =
  | { readonly outcome: 'matched'; readonly command: string; readonly source: Source }
  | { readonly outcome: 'missed'; readonly command: string; readonly source: Source; readonly token: string; readonly at: Source; readonly saw: string | undefined }
  | { readonly outcome: 'none' };

/** A device that has a modalias of the module. */
export type PullingDevice = { readonly device: DeviceFacts; readonly line: AliasLine };

/** Who pulls a module in. */
export type PullFacts = {
  readonly module: string;
  readonly devices: readonly PullingDevice[];
  /** Loaded modules that need it directly. */
  readonly holders: readonly string[];
  /** Softdeps of loaded modules that name it. */
  readonly softdeps: readonly SoftdepFacts[];
  /** Rules that load it by name. */
  readonly rules: readonly { readonly command: string; readonly source: Source }[];
  readonly decisions: readonly Decision[];
  /** Files that have it loaded at boot: modules-load.d. */
  readonly lists: readonly Source[];
};

export type WhyFacts = {
  readonly target: string;
  readonly kind: SubjectKind;
  /** The target's own device first, then those above it that have a modalias or a driver. */
  readonly devices: readonly DeviceFacts[];
  /** Of the first device that has one, or the name that was asked for. */
  readonly alias: AliasFacts | undefined;
  /** For devices above the first that has a modalias: which modules that leads to. */
  readonly above: ReadonlyMap<string, readonly AliasLine[]>;
  readonly modules: readonly ModuleFacts[];
  readonly rule: RuleFacts | undefined;
  readonly decisions: readonly Decision[];
  /** The modules to be explained backwards come first, then those that pull them in. */
  readonly pulls: readonly PullFacts[];
  /** Of a file system: the kernel has it. */
  readonly registered: Source | undefined;
  /** Of an unknown target: names that it may have meant. */
  readonly nearNames: readonly string[];
  /** Of an image: what libblkid says. */
  readonly image: { readonly type: string | undefined; readonly usage: string | undefined } | undefined;
};
