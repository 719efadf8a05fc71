// The explanation of a target: one chain of links as plain data, made of the facts and of nothing else.

import type { ModuleLoad, Source } from '../kmod/probe.ts';
import { COMMAND_REQUEST, KERNEL_REQUEST } from '../udev/decision-record.ts';
import type { Decision } from '../udev/decision-record.ts';
import type { AliasLine, DeviceFacts, ModuleFacts, PullFacts, RuleFacts, WhyFacts } from './facts.ts';

export type LinkKind =
  | 'image' | 'request' | 'device' | 'modalias' | 'alias' | 'near-alias' | 'rule' | 'list' | 'module' | 'needs' | 'softdep'
  | 'options' | 'blacklist' | 'deny' | 'install' | 'driver' | 'load' | 'failure' | 'kernel';

/** `holds`: so it went. `fails`: here the chain ends. `near`: it would have been, but for one thing. `note`: beside the chain. */
export type LinkState = 'holds' | 'fails' | 'near' | 'note';

export type Link = {
  readonly kind: LinkKind;
  readonly state: LinkState;
  /** A devpath, modalias, pattern, module or rule. */
  readonly name: string;
  /** The rest of the sentence; '' where the name says all. */
  readonly text: string;
  /** Positions of the links that it follows from, all smaller than its own. Empty: the chain begins here. */
  readonly from: readonly number[];
  /** A file and line, or a path of sysfs. */
  readonly source?: Source;
  /** Of `load`: how long each part took, in milliseconds. */
  readonly load?: Omit<ModuleLoad, 'module' | 'path' | 'failure'>;
};

export type WhyStatus = 'loaded' | 'builtin' | 'not-loaded' | 'failed' | 'blacklisted' | 'denied' | 'unclaimed' | 'unknown';

export type Explanation = {
  readonly target: string;
  readonly subject: WhyFacts['kind'];
  readonly status: WhyStatus;
  /** One sentence without its full stop. */
  readonly verdict: string;
  /** What the target stands for, or its device claims by modalias; the module that drives it is in `driver`. */
  readonly modules: readonly string[];
  /** Of the device that was looked at; `module` is null where the driver is the kernel's own. */
  readonly driver?: { readonly name: string; readonly module: string | null };
  readonly links: readonly Link[];
};

export function explain(facts: WhyFacts): Explanation {
  const links: Link[] = [];
  const chain = new Chain(links);
  const main = facts.devices.find(({ modalias, driver }) => modalias !== undefined || driver !== undefined);
  const start = beginning(facts, chain, main);
  const aliasAt = facts.alias ? addAlias(facts, chain, start, main) : new Map<string, number[]>();
  const pulledAt = addPulls(facts.pulls, chain, facts.kind === 'module' ? undefined : start);
  for (const module of facts.modules) addModule(module, chain, [...aliasAt.get(module.module) ?? [], ...pulledAt.get(module.module) ?? []], facts.decisions);
  if (main?.driver) {
    const { name, module, path } = main.driver;
    const from = module === undefined ? start : links.findLastIndex((link) => link.kind === 'module' && link.name === module);
    chain.add({ kind: 'driver', state: 'holds', name, text: module === undefined ? 'drives it, and is part of the kernel' : 'drives it', from: typeof from === 'number' ? [from] : from, source: { file: path } });
  }
  const outcome = outcomeOf(facts, main);
  const claimed = [...new Set((facts.alias?.lines ?? []).map(({ module }) => module))];
  return {
    target: facts.target, subject: facts.kind, ...outcome,
    modules: facts.kind === 'module' ? facts.modules.map(({ module }) => module) : claimed,
    ...(main?.driver ? { driver: { name: main.driver.name, module: main.driver.module ?? null } } : {}),
    links,
  };
}

/** Adds links and says where they are. */
class Chain {
  readonly links: Link[];

  constructor(links: Link[]) {
    this.links = links;
  }

  add(link: Link): number {
    return this.links.push(link) - 1;
  }
}

/** The links before the alias, from the far end of the bus to the target; returns the ones that go on. */
function beginning(facts: WhyFacts, chain: Chain, main: DeviceFacts | undefined): readonly number[] {
  if (facts.image) {
    const { type, usage } = facts.image;
    const text = type === undefined ? 'libblkid finds nothing on it' : `holds ${type}${usage === 'filesystem' ? '' : ', which is no file system'}`;
    return [chain.add({ kind: 'image', state: type !== undefined && usage === 'filesystem' ? 'holds' : 'fails', name: facts.target, text, from: [], source: { file: facts.target } })];
  }
  let from: number[] = [];
  for (const device of facts.devices.toReversed()) {
    const driver = device === main || device.driver === undefined ? '' : `, driven by ${driverText(device)}`;
    const modules = [...new Set((facts.above.get(device.devpath) ?? []).map(({ module }) => module))];
    const claims = modules.length === 0 || device.driver?.module !== undefined ? '' : `, claimed by ${modules.join(', ')}`;
    from = [chain.add({ kind: 'device', state: 'holds', name: device.devpath, text: `${subsystemText(device)}${driver}${claims}`, from, source: { file: device.path } })];
  }
  return from;
}

function driverText({ driver }: DeviceFacts): string {
  if (!driver) return '';
  return driver.module === undefined ? `${driver.name} of the kernel` : driver.module === driver.name.replaceAll('-', '_') ? driver.module : `${driver.name} of ${driver.module}`;
}

function subsystemText({ subsystem }: DeviceFacts): string {
  return subsystem ?? 'no subsystem';
}

/** The name, the lines that matched and those that nearly did, and the rule. Returns the last link before each module. */
function addAlias({ alias, kind, rule, registered, target }: WhyFacts, chain: Chain, start: readonly number[], main: DeviceFacts | undefined): Map<string, number[]> {
  const before = new Map<string, number[]>();
  if (!alias) return before;
  const { name, lines, near } = alias;
  const isModalias = kind === 'device' || kind === 'modalias';
  const source = main === undefined ? {} : { source: { file: `${main.path}/uevent` } };
  const text = isModalias ? '' : name === target ? 'as the kernel asks for it' : 'as mount has the kernel ask for it';
  const nameAt = chain.add({ kind: isModalias ? 'modalias' : 'request', state: lines.length > 0 || registered ? 'holds' : 'fails', name, text: lines.length > 0 || registered ? text : text === '' ? 'no module has it' : `${text}, and no module has it`, from: start, ...source });
  if (registered) chain.add({ kind: 'kernel', state: 'holds', name: name.slice('fs-'.length), text: 'is registered already: nothing is asked for', from: [nameAt], source: registered });
  const ruleAt = rule ? [addRule(rule, chain, nameAt)] : [];
  for (const line of lines) {
    const at = chain.add({ kind: 'alias', state: 'holds', name: line.pattern, text: line.builtin ? `of ${line.module}, built into the kernel` : `of ${line.module}`, from: ruleAt.length > 0 ? ruleAt : [nameAt], source: line.source });
    before.set(line.module, [...before.get(line.module) ?? [], at]);
  }
  for (const { pattern, module, field, wanted, found, source: at } of near) {
    chain.add({ kind: 'near-alias', state: 'near', name: pattern, text: `of ${module}: ${field} is ${found}, not ${wanted}`, from: [nameAt], source: at });
  }
  return before;
}

function addRule(rule: RuleFacts, chain: Chain, from: number): number {
  switch (rule.outcome) {
    case 'matched':
      return chain.add({ kind: 'rule', state: 'holds', name: `RUN{builtin}="${rule.command}"`, text: 'matches', from: [from], source: rule.source });
    case 'missed': {
      const saw = rule.saw === undefined ? '' : `, which saw "${rule.saw}"`;
      return chain.add({ kind: 'rule', state: 'fails', name: `RUN{builtin}="${rule.command}"`, text: `does not run: ${rule.token}${saw}`, from: [from], source: rule.at });
    }
    case 'none':
      return chain.add({ kind: 'rule', state: 'fails', name: 'rules', text: 'none of them loads modules for it', from: [from] });
  }
}

/** Backwards: from devices and requests down to each module. Returns the links that each module follows from. */
function addPulls(pulls: readonly PullFacts[], chain: Chain, target: readonly number[] | undefined): Map<string, number[]> {
  const before = new Map<string, number[]>();
  const done = new Set<string>();
  const known = new Map(pulls.map((pull) => [pull.module, pull]));
  const explained = new Set(pulls.slice(0, 1).map(({ module }) => module));
  const visit = (pull: PullFacts): number[] => {
    const { module } = pull;
    const earlier = before.get(module);
    if (earlier || done.has(module)) return earlier ?? [];
    done.add(module);
    const from: number[] = [];
    for (const { device, line } of pull.devices) from.push(addDevicePull(device, line, module, chain));
    for (const { command, source } of pull.rules) from.push(chain.add({ kind: 'rule', state: 'note', name: `RUN{builtin}="${command}"`, text: `asks for ${module}`, from: [], source }));
    for (const source of pull.lists) from.push(chain.add({ kind: 'list', state: 'holds', name: module, text: 'is on a list of the boot', from: [], source }));
    from.push(...addRequests(pull.decisions, pull, chain));
    for (const { owner, kind, source } of pull.softdeps) {
      const parent = moduleLink(owner);
      from.push(chain.add({ kind: 'softdep', state: 'holds', name: owner, text: `has it as its softdep ${kind}`, from: parent, source }));
    }
    for (const holder of pull.holders) from.push(chain.add({ kind: 'needs', state: 'holds', name: holder, text: `needs ${module}`, from: moduleLink(holder) }));
    before.set(module, from);
    return from;
  };
  const moduleLink = (module: string): number[] => {
    const pull = known.get(module);
    return pull && !explained.has(module) ? visit(pull) : [];
  };
  for (const pull of pulls.slice(0, 1)) visit(pull);
  // A driver's device is not why its module is there.
  return target === undefined || before.size > 0 ? before : new Map();
}

function addDevicePull(device: DeviceFacts, line: AliasLine, module: string, chain: Chain): number {
  const isBound = device.driver?.module === module;
  const deviceAt = chain.add({ kind: 'device', state: 'holds', name: device.devpath, text: `${subsystemText(device)}${isBound ? `, driven by ${driverText(device)}` : ''}`, from: [], source: { file: device.path } });
  return chain.add({ kind: 'alias', state: 'holds', name: line.pattern, text: `of ${module}`, from: [deviceAt], source: line.source });
}

/** Requests of devices whose modalias is the module's own are those devices' links already. */
function addRequests(decisions: readonly Decision[], { module, devices }: PullFacts, chain: Chain): number[] {
  const known = new Set(devices.map(({ device }) => device.devpath));
  const seen = new Set<string>();
  return decisions.flatMap(({ name, devpath, rule, modules, at }) => {
    const key = `${devpath}\0${name}`;
    const decided = modules.find((each) => each.module === module);
    if (known.has(devpath) || seen.has(key)) return [];
    seen.add(key);
    const by = devpath === KERNEL_REQUEST ? 'by the kernel' : devpath === COMMAND_REQUEST ? 'by a modprobe command' : `for ${devpath}`;
    const via = decided && decided.reason.kind !== 'alias' && decided.reason.kind !== 'requested' ? `, as ${decided.reason.kind} of ${decided.reason.from}` : '';
    return [chain.add({ kind: 'request', state: 'holds', name, text: `${by}, ${seconds(at)} after the boot began${via}`, from: [], ...(rule ? { source: rule } : {}) })];
  });
}

function addModule(facts: ModuleFacts, chain: Chain, from: readonly number[], decisions: readonly Decision[]): void {
  const { module, path, builtin, state, statePath, dependencies, needs, softdeps, config, load, kernelLines, otherRelease } = facts;
  const text = builtin ? 'is built into the kernel' : state === 'live' ? 'is loaded' : state !== undefined ? `is ${state}` : otherRelease === undefined ? 'is not loaded' : `is of ${otherRelease}, which does not run`;
  const at = chain.add({ kind: 'module', state: builtin || state === 'live' ? 'holds' : 'fails', name: module, text, from, source: { file: state === undefined ? path || dependencies.file : statePath } });
  for (const need of needs) {
    const { symbols } = need;
    const why = symbols === undefined ? '' : `for ${symbols.slice(0, SYMBOLS_SHOWN).join(', ')}${symbols.length > SYMBOLS_SHOWN ? ` and ${symbols.length - SYMBOLS_SHOWN} more symbols` : ''}`;
    chain.add({ kind: 'needs', state: 'holds', name: need.module, text: why, from: [at], source: dependencies });
  }
  for (const { kind, module: name, source } of softdeps) chain.add({ kind: 'softdep', state: 'holds', name, text: kind === 'pre' ? 'before it' : 'after it', from: [at], source });
  for (const { kind, text: line, source } of config) chain.add({ kind, state: kind === 'blacklist' || kind === 'deny' ? 'fails' : 'holds', name: line, text: '', from: [at], source });
  if (load) {
    const request = decisions.find((decision) => decision.loads.includes(load));
    const { module: loaded, path: file, failure, ...times } = load;
    const by = request?.devpath === KERNEL_REQUEST ? ', asked for by the kernel' : request?.devpath === COMMAND_REQUEST ? ', by a modprobe command' : '';
    chain.add({ kind: failure ? 'failure' : 'load', state: failure ? 'fails' : 'holds', name: loaded, from: [at], source: { file },
      text: failure ? `${failure.text} (${failure.code})` : `${seconds(load.at)} after the boot began, in ${milliseconds(load.waitMs + load.readMs + load.decompressMs + load.initMs)}${by}`, load: times });
    for (const line of failure?.kernel ?? []) chain.add({ kind: 'kernel', state: 'note', name: line, text: '', from: [chain.links.length - 1] });
  }
  for (const line of kernelLines) chain.add({ kind: 'kernel', state: 'note', name: line, text: '', from: [at] });
}

/** A module may need a hundred symbols of another. */
const SYMBOLS_SHOWN = 3;

function outcomeOf(facts: WhyFacts, main: DeviceFacts | undefined): { readonly status: WhyStatus; readonly verdict: string } {
  const { target, modules, alias, registered, nearNames, kind, devices } = facts;
  const who = devices[0] === undefined ? target : devices[0].sysname;
  if (kind === 'unknown') {
    return { status: 'unknown', verdict: `${target}: no device, module, alias or file system has this name${nearNames.length > 0 ? `; names like it: ${nearNames.join(', ')}` : ''}` };
  }
  if (main?.driver) {
    const { module } = main.driver;
    const through = main === devices[0] ? '' : ` through ${main.sysname}`;
    if (module === undefined) return { status: 'builtin', verdict: `${main.driver.name}, part of the kernel, drives ${who}${through}` };
    const load = modules.find((each) => each.module === module)?.load;
    return { status: 'loaded', verdict: `${driverText(main)} drives ${who}${through}${load ? `: loaded ${seconds(load.at)} after the boot began` : ''}` };
  }
  if (registered && modules.every(({ state }) => state === undefined)) return { status: 'builtin', verdict: `${target}: the kernel has ${alias?.name.slice('fs-'.length) ?? 'it'} already` };
  if (modules.length === 0) {
    if (facts.image && !alias) return { status: 'unclaimed', verdict: `${target}: nothing to mount` };
    return { status: 'unclaimed', verdict: alias ? `${who === alias.name ? '' : `${who}: `}no module has ${who === alias.name ? 'the alias ' : ''}${alias.name}` : `${who}: the device has neither a modalias nor a driver` };
  }
  const names = modules.map(({ module }) => module).join(', ');
  const of = names === target ? '' : ` (for ${who})`;
  const config = modules.flatMap((module) => module.config);
  const live = modules.filter(({ state }) => state === 'live');
  if (live.length > 0) return { status: 'loaded', verdict: `${live.map(({ module }) => module).join(', ')}${of} is loaded${pulledText(facts)}` };
  if (modules.some(({ builtin }) => builtin)) return { status: 'builtin', verdict: `${names}${of} is built into the kernel` };
  const stop = config.find(({ kind: each }) => each === 'deny') ?? config.find(({ kind: each }) => each === 'blacklist');
  if (stop?.kind === 'deny') return { status: 'denied', verdict: `${names}${of} must not be loaded: ${place(stop.source)} denies ${stop.text}` };
  if (stop && kind !== 'module') return { status: 'blacklisted', verdict: `${names}${of} is not loaded: ${place(stop.source)} blacklists ${stop.text}` };
  const failure = modules.find(({ load }) => load?.failure)?.load?.failure;
  if (failure) return { status: 'failed', verdict: `${names}${of} could not be loaded: ${failure.text}` };
  const other = modules[0]?.otherRelease;
  if (other !== undefined) return { status: 'not-loaded', verdict: `${names}${of} is not loaded: ${other} does not run` };
  return { status: 'not-loaded', verdict: `${names}${of} is not loaded${facts.rule?.outcome === 'missed' ? `: the rule at ${place(facts.rule.at)} does not run` : pulledText(facts)}` };
}

/** Who pulls the module in, in a few words. */
function pulledText({ kind, pulls: [pull] }: WhyFacts): string {
  if (kind !== 'module' || !pull) return '';
  const [device] = pull.devices;
  const [holder] = pull.holders;
  const [decision] = pull.decisions;
  if (device) return `: ${device.device.sysname}${pull.devices.length > 1 ? ` and ${pull.devices.length - 1} other devices` : ''} ${pull.devices.length > 1 ? 'have' : 'has'} a modalias of it`;
  if (holder !== undefined) return `: ${pull.holders.join(', ')} ${pull.holders.length > 1 ? 'need' : 'needs'} it`;
  if (decision) return `: ${decision.devpath === KERNEL_REQUEST ? 'the kernel' : decision.devpath === COMMAND_REQUEST ? 'a modprobe command' : decision.devpath} asked for ${decision.name}`;
  if (pull.softdeps[0]) return `: it is a softdep of ${pull.softdeps[0].owner}`;
  if (pull.lists[0]) return `: ${place(pull.lists[0])} lists it`;
  return '; no device, module or request is known that asks for it';
}

export function place({ file, line }: Source): string {
  return line === undefined ? file : `${file}:${line}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
