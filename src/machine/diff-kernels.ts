// Two kernels' modules on one recorded machine: devices that gain, lose or change a driver, parameters that vanish, modules that became built in.

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError } from '../errors.ts';
import { ImageReader } from '../kmod/image-reader.ts';
import { type ModuleInfo, parseBuiltinInfo, parseModuleInfo } from '../kmod/modinfo.ts';
import { answerOf, answersFor, isUsable } from './driver-answer.ts';
import { configuredIn, type KernelFiles } from './kernel-files.ts';
import type { Recording } from './recording.ts';

export type DeviceChange = {
  readonly devpath: string;
  readonly modalias: string;
  /** What was bound on the recorded machine. */
  readonly driver?: string;
  readonly change: 'gained' | 'lost' | 'changed';
  /** The modules that are there for it, before and after. */
  readonly before: readonly string[];
  readonly after: readonly string[];
};

export type ModuleChange = { readonly module: string; readonly before: ModuleState; readonly after: ModuleState };
export type ModuleState = 'module' | 'builtin' | 'missing' | 'blacklisted' | 'denied';

export type ParameterChange = {
  readonly module: string;
  readonly parameter: string;
  /** Where the machine or the configuration sets it: then the setting is lost. */
  readonly setIn: readonly string[];
};

export type KernelDiff = {
  readonly before: { readonly name: string; readonly release: string };
  readonly after: { readonly name: string; readonly release: string };
  readonly devices: readonly DeviceChange[];
  /** Of the machine's devices, or that it had loaded, which are no more what they were. */
  readonly modules: readonly ModuleChange[];
  /** Of modules that are in both. */
  readonly vanished: readonly ParameterChange[];
  readonly added: readonly { readonly module: string; readonly parameter: string }[];
};

export type DiffOptions = { readonly onProgress?: (done: number, total: number) => void };

/** Module files that cannot be read are logged and have no parameters. */
export async function diffKernels(recording: Recording, before: KernelFiles, after: KernelFiles, { onProgress }: DiffOptions = {}): Promise<KernelDiff> {
  const devices: DeviceChange[] = [];
  const names = new Set<string>(loadedThere(recording));
  const known = new Map<string, readonly [readonly string[], readonly string[]]>();
  for (const { devpath, properties } of recording.devices) {
    const modalias = properties.get('MODALIAS');
    if (!modalias) continue;
    const pair = known.get(modalias) ?? pairFor(before, after, modalias, names);
    known.set(modalias, pair);
    const [old, now] = pair;
    if (old.join() === now.join()) continue;
    const driver = properties.get('DRIVER');
    devices.push({ devpath, modalias, ...(driver === undefined ? {} : { driver }), change: old.length === 0 ? 'gained' : now.length === 0 ? 'lost' : 'changed', before: old, after: now });
  }
  const modules: ModuleChange[] = [];
  const both: string[] = [];
  for (const module of [...names].sort()) {
    const change = { module, before: stateOf(before, module), after: stateOf(after, module) };
    if (change.before !== change.after) modules.push(change);
    if (change.before !== 'missing' && change.after !== 'missing') both.push(module);
  }
  return { before: placeOf(before), after: placeOf(after), devices, modules, ...await diffParameters(before, after, both, onProgress) };
}

function placeOf({ name, release }: KernelFiles): { readonly name: string; readonly release: string } {
  return { name, release };
}

/** Modules that are built in have no aliases for devices: those of the other kernel say what they are for. */
function pairFor(before: KernelFiles, after: KernelFiles, modalias: string, names: Set<string>): readonly [readonly string[], readonly string[]] {
  const [old, now] = [modulesFor(before, modalias, names), modulesFor(after, modalias, names)];
  const withBuiltin = (own: readonly string[], others: readonly string[], kernel: KernelFiles): readonly string[] => (
    [...own, ...others.filter((module) => !own.includes(module) && stateOf(kernel, module) === 'builtin')].sort()
  );
  return [withBuiltin(old, now, before), withBuiltin(now, old, after)];
}

/** Usable ones by name; `names` gets all, with what they need. */
function modulesFor({ kmod }: KernelFiles, modalias: string, names: Set<string>): readonly string[] {
  const answers = answersFor(kmod, modalias);
  for (const { module } of answers) {
    names.add(module);
    for (const { module: need } of kmod.plan(module, { ignoreLoaded: true }).goals.flatMap(({ steps }) => steps)) names.add(need);
  }
  return answers.filter(isUsable).map(({ module }) => module).sort();
}

function stateOf({ kmod }: KernelFiles, module: string): ModuleState {
  return answerOf(kmod, module).status;
}

function loadedThere({ files }: Recording): readonly string[] {
  const text = files.get('proc/modules');
  return typeof text === 'string' ? text.split('\n').map((line) => line.split(' ')[0] ?? '').filter((name) => name !== '') : [];
}

async function diffParameters(
  before: KernelFiles, after: KernelFiles, modules: readonly string[], onProgress: DiffOptions['onProgress'],
): Promise<Pick<KernelDiff, 'vanished' | 'added'>> {
  const readers = [new InfoReader(before), new InfoReader(after)] as const;
  let done = 0;
  const pairs = await Promise.all(modules.map(async (module) => {
    const [old, now] = await Promise.all(readers.map((reader) => reader.parameters(module)));
    onProgress?.(++done, modules.length);
    return { module, old: old ?? new Set<string>(), now: now ?? new Set<string>() };
  }));
  const set = settings(before);
  return {
    vanished: pairs.flatMap(({ module, old, now }) => [...old].filter((name) => !now.has(name)).map((parameter) => ({ module, parameter, setIn: set.get(`${module}.${parameter}`) ?? [] }))),
    added: pairs.flatMap(({ module, old, now }) => [...now].filter((name) => !old.has(name)).map((parameter) => ({ module, parameter }))),
  };
}

/** The lines, or the command line, that set `module.parameter`. */
function settings(kernel: KernelFiles): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { module, params, source } of kernel.kmod.facts.config.options) {
    for (const word of params.split(/\s+/)) {
      const key = `${module}.${word.replace(/=.*$/s, '')}`;
      found.set(key, [...found.get(key) ?? [], configuredIn(kernel, source)]);
    }
  }
  return found;
}

class InfoReader {
  readonly #kernel: KernelFiles;
  readonly #reader: ImageReader;

  constructor(kernel: KernelFiles) {
    this.#kernel = kernel;
    this.#reader = new ImageReader(kernel.system, { source: kernel.kmod.source });
  }

  async parameters(module: string): Promise<ReadonlySet<string>> {
    const info = await this.#read(module);
    return new Set((info?.parameters ?? []).map(({ name }) => name));
  }

  async #read(module: string): Promise<ModuleInfo | undefined> {
    const { kmod: { facts: { db }, source }, system } = this.#kernel;
    const path = db.dependencies(module)?.path;
    const file = source.resolve(path ?? 'modules.builtin.modinfo');
    try {
      if (path !== undefined) return await this.#reader.use(file, (image) => parseModuleInfo(image, file));
      const bytes = source.readIndex('modules.builtin.modinfo');
      return bytes && parseBuiltinInfo(bytes, module, file);
    } catch (error) {
      const isForeseen = error instanceof FormatError || error instanceof LimitError || error instanceof UnsupportedError || codeOf(error) !== undefined;
      if (!isForeseen) throw error;
      system.log.warn({ code: 'bad-module', file, message: `parameters of ${module} are not known: ${messageOf(error)}` });
      return undefined;
    }
  }
}
