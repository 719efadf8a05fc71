// Gathers what is known of a target: finds out what it is, then asks sysfs, indexes, configuration, rules and the journal.

import { existsSync } from 'node:fs';

import { normalizeModuleName } from '../kmod/alias.ts';
import { isRegistered, probeFile } from '../kmod/file-system.ts';
import type { Kmod } from '../kmod/kmod.ts';
import { liveOf } from '../kmod/live.ts';
import { nearNames } from '../kmod/near-names.ts';
import { isOfRunningKernel } from '../kmod/tree-images.ts';
import type { System } from '../system.ts';
import { readDecisions } from '../udev/decisions.ts';
import type { Device } from '../udev/device.ts';
import type { RuleSet } from '../udev/rules/rule.ts';
import { type AliasText, aliasLines, nearAliases } from './alias-lines.ts';
import type { AliasFacts, AliasLine, ModuleFacts, PullFacts, WhyFacts } from './facts.ts';
import { deviceChain, findDevice } from './read-device.ts';
import { openModuleReader } from './read-module.ts';
import { devicesByModule, readPulls } from './read-pulls.ts';
import { ruleFacts } from './read-rule.ts';

export type WhyOptions = {
  /** The rules of the machine; without them nothing is said of rules. */
  readonly rules?: RuleSet;
  /** Read the module files for the symbols by which they need each other. */
  readonly withSymbols?: boolean;
};

/**
 * For many targets of one machine as it is now. Reads only; nothing is loaded and no program runs. The function that it gives throws Node's error
 * for an image that cannot be opened.
 */
export function openWhy(system: System, kmod: Kmod, options: WhyOptions = {}): (target: string) => Promise<WhyFacts> {
  const gatherer = new Gatherer(system, kmod, options);
  return (target) => gather(system, gatherer, target);
}

async function gather(system: System, gatherer: Gatherer, target: string): Promise<WhyFacts> {
  const device = await findDevice(system, target);
  if (device) return gatherer.ofDevice(target, device);
  if (/^(?:\/|\.\.?\/)/.test(target)) return existsSync(target) ? gatherer.ofImage(target) : gatherer.unknown(target);
  return gatherer.ofName(target);
}

const NOTHING: Omit<WhyFacts, 'target' | 'kind'> = {
  devices: [], alias: undefined, above: new Map(), modules: [], rule: undefined, decisions: [], pulls: [], registered: undefined, nearNames: [], image: undefined,
};

class Gatherer {
  readonly #system: System;
  readonly #kmod: Kmod;
  readonly #options: WhyOptions;
  readonly #decisions;
  readonly #reader;
  readonly #rules: RuleSet;
  #index: AliasText | undefined;
  /** One walk of /sys for all targets. */
  #devices: ReturnType<typeof devicesByModule> | undefined;

  constructor(system: System, kmod: Kmod, options: WhyOptions) {
    this.#system = system;
    this.#kmod = kmod;
    this.#options = options;
    this.#rules = options.rules ?? { files: [] };
    // What happened, happened to the kernel that runs.
    this.#decisions = isOfRunningKernel(system) ? readDecisions(system) : [];
    this.#reader = openModuleReader(system, kmod, this.#decisions, { withSymbols: options.withSymbols ?? false });
  }

  async ofDevice(target: string, device: Device): Promise<WhyFacts> {
    const devices = deviceChain(device);
    const main = devices.find(({ modalias, driver }) => modalias !== undefined || driver !== undefined);
    const alias = main?.modalias === undefined ? undefined : this.#aliasFacts(main.modalias);
    const lines = alias?.lines ?? [];
    const driver = main?.driver?.module;
    const above = new Map(devices.filter((each) => each !== main).map(({ devpath, modalias }) => [devpath, modalias === undefined ? [] : this.#lines(modalias)]));
    let at: Device | undefined = device;
    while (at && at.devpath !== main?.devpath) at = at.parent;
    const strange = driver !== undefined && !lines.some(({ module }) => module === driver);
    return {
      ...NOTHING, target, kind: 'device', devices, alias, above,
      modules: await this.#modules(lines, strange ? [driver] : []),
      rule: at && alias && this.#options.rules ? await ruleFacts(this.#system, this.#rules, at) : undefined,
      decisions: this.#decisions.filter(({ devpath }) => devpath === main?.devpath),
      pulls: strange ? await this.#pulls([driver]) : [],
    };
  }

  async ofImage(target: string): Promise<WhyFacts> {
    const found = await probeFile(this.#system, target);
    const values = new Map(found?.map(({ name, safe }) => [name, safe]));
    const image = { type: values.get('TYPE'), usage: values.get('USAGE') };
    if (image.type === undefined || image.usage !== 'filesystem') return { ...NOTHING, target, kind: 'image', image };
    return { ...await this.#ofRequest(target, `fs-${image.type}`), kind: 'image', image };
  }

  async ofName(target: string): Promise<WhyFacts> {
    const matches = this.#kmod.lookup(target);
    const own = normalizeModuleName(target);
    if (target.includes(':')) return this.#ofModalias(target);
    if (matches.some(({ alias }) => alias === undefined) || liveOf(this.#system, isOfRunningKernel(this.#system)).state(own) !== undefined) return this.#ofModule(target, own);
    if (matches.length > 0) return this.#ofRequest(target, target);
    if (this.#kmod.lookup(`fs-${target}`).length > 0 || isRegistered(this.#system, target)) return { ...await this.#ofRequest(target, `fs-${target}`), kind: 'file-system' };
    return this.unknown(target);
  }

  unknown(target: string): WhyFacts {
    const names = target.includes('/') ? [] : nearNames(normalizeModuleName(target), this.#kmod.facts.db.modules().map(({ module }) => module));
    return { ...NOTHING, target, kind: 'unknown', nearNames: names };
  }

  async #ofModalias(target: string): Promise<WhyFacts> {
    const alias = this.#aliasFacts(target);
    return { ...NOTHING, target, kind: 'modalias', alias, modules: await this.#modules(alias.lines), decisions: this.#decisions.filter(({ name }) => name === target) };
  }

  async #ofModule(target: string, module: string): Promise<WhyFacts> {
    return { ...NOTHING, target, kind: 'module', modules: [await this.#reader.of(module)], pulls: await this.#pulls([module]) };
  }

  async #ofRequest(target: string, name: string): Promise<WhyFacts> {
    const alias = this.#aliasFacts(name);
    const type = name.startsWith('fs-') ? name.slice('fs-'.length) : undefined;
    return {
      ...NOTHING, target, kind: 'request', alias, modules: await this.#modules(alias.lines),
      decisions: this.#decisions.filter((decision) => decision.name === name),
      registered: type !== undefined && isRegistered(this.#system, type) ? { file: `${this.#system.roots.proc}/filesystems` } : undefined,
    };
  }

  #aliasFacts(name: string): AliasFacts {
    const lines = this.#lines(name);
    return { name, lines, near: nearAliases(name, new Set(lines.map(({ module }) => module)), this.#aliasText()) };
  }

  #lines(name: string): AliasLine[] {
    return aliasLines(this.#kmod.lookup(name), this.#aliasText());
  }

  #aliasText(): AliasText {
    const { source } = this.#kmod;
    return this.#index ??= { file: source.resolve('modules.alias'), text: source.readText('modules.alias') ?? '' };
  }

  /** Each module once, in the order of the lines. */
  async #modules(lines: readonly AliasLine[], more: readonly string[] = []): Promise<ModuleFacts[]> {
    const first = new Map<string, AliasLine | undefined>();
    for (const line of lines) if (!first.has(line.module)) first.set(line.module, line);
    for (const module of more) first.set(module, undefined);
    const facts: ModuleFacts[] = [];
    for (const [module, line] of first) facts.push(await this.#reader.of(module, line));
    return facts;
  }

  async #pulls(modules: readonly string[]): Promise<PullFacts[]> {
    const { direct } = this.#reader;
    const context = { kmod: this.#kmod, rules: this.#rules, decisions: this.#decisions, index: this.#aliasText(), direct };
    return readPulls(this.#system, modules, await (this.#devices ??= devicesByModule(this.#system, context)), context);
  }
}
