// Whether the modules of an initramfs or kernel bring a recorded machine to its root disk, keyboard and network, and what is missing on the way.

import type { Source } from '../kmod/probe.ts';
import type { CapturedDevice } from '../udev/umockdev.ts';
import { answerOf, answersFor, isUsable, type ModuleAnswer } from './driver-answer.ts';
import { configuredIn, type KernelFiles } from './kernel-files.ts';
import { type AbsentFirmware, absentFirmware } from './firmware.ts';
import { type Goal, GOALS, goalsOf, type Target } from './machine-goals.ts';
import { releaseOf } from './open-machine.ts';
import type { Recording } from './recording.ts';
import type { Program, Request } from './root-layers.ts';

/**
 * One device on the way, or one request. `assumed`: built in there, and nothing here speaks of it. `other`: another driver than there takes it.
 */
export type Link = {
  /** Undefined for a request. */
  readonly devpath?: string;
  /** The modalias, or the alias of a request; undefined where the device has none. */
  readonly alias?: string;
  /** The driver that was bound on the machine. */
  readonly driver?: string;
  readonly module?: string;
  readonly status: ModuleAnswer['status'] | 'assumed' | 'other';
  readonly missing: readonly string[];
  /** What bars the module. */
  readonly source?: string;
  /** For people: what it is. */
  readonly why: string;
};

export type TargetReport = {
  readonly goal: Goal;
  readonly name: string;
  readonly ok: boolean;
  readonly links: readonly Link[];
  /** Of its modules; absent where all is there. No device needs all that its module names, and some need none. */
  readonly firmware?: readonly AbsentFirmware[];
};

export type CheckReport = {
  readonly image: string;
  readonly release: string;
  /** Of the recorded machine, where it says. */
  readonly recordedRelease?: string;
  readonly isInitramfs: boolean;
  readonly needs: readonly Goal[];
  /** Every goal that is needed has a target that is reached; of root there is one. */
  readonly boots: boolean;
  readonly targets: readonly TargetReport[];
};

export type CheckOptions = {
  /** By default root for an initramfs, and all for other modules. */
  readonly needs?: readonly Goal[] | undefined;
  readonly root?: string | undefined;
};

/** Throws UnsupportedError where the root disk is not known. */
export function checkBoot(recording: Recording, kernel: KernelFiles, options: CheckOptions = {}): CheckReport {
  const needs = options.needs ?? (kernel.isInitramfs ? ['root'] : GOALS);
  const goals = GOALS.filter((goal) => goal !== 'root' || needs.includes(goal) || options.root !== undefined);
  const targets = goalsOf(recording, { goals, root: options.root });
  const way = new Way(recording, kernel);
  const reports = targets.map((target) => way.report(target));
  const recordedRelease = releaseOf(recording);
  return {
    image: kernel.name, release: kernel.release, ...(recordedRelease === undefined ? {} : { recordedRelease }), isInitramfs: kernel.isInitramfs, needs,
    // A machine without a keyboard needs none.
    boots: needs.every((goal) => reports.every((report) => report.goal !== goal) || reports.some((report) => report.goal === goal && report.ok)),
    targets: reports,
  };
}

/** In an initramfs. */
const PROGRAM_PLACES = ['sbin', 'bin', 'usr/sbin', 'usr/bin', 'lib/systemd', 'usr/lib/systemd'];

type Judged = Pick<ModuleAnswer, 'missing'> & Pick<Link, 'module' | 'status'> & { readonly source?: Source };

class Way {
  readonly #recording: Recording;
  readonly #kernel: KernelFiles;
  readonly #byDevpath: ReadonlyMap<string, CapturedDevice>;
  readonly #loaded: ReadonlySet<string>;
  /** The same kernel: what it had built in it has built in now. */
  readonly #isSame: boolean;
  readonly #links = new Map<string, Link | undefined>();

  constructor(recording: Recording, kernel: KernelFiles) {
    this.#recording = recording;
    this.#kernel = kernel;
    this.#byDevpath = new Map(recording.devices.map((device) => [device.devpath, device]));
    const modules = recording.files.get('proc/modules');
    this.#loaded = new Set(typeof modules === 'string' ? modules.split('\n').map((line) => line.split(' ')[0] ?? '') : []);
    this.#isSame = releaseOf(recording) === kernel.release;
  }

  report({ goal, name, devices, requests, programs }: Target): TargetReport {
    const links: Link[] = [];
    const seen = new Set<string>();
    for (const { devpath } of devices) {
      for (let end = devpath.indexOf('/', 1); end > 0; end = devpath.indexOf('/', end + 1)) this.#add(devpath.slice(0, end), seen, links);
      this.#add(devpath, seen, links);
    }
    links.push(...requests.flatMap((request) => this.#requested(request)));
    links.push(...programs.flatMap((program) => this.#programmed(program)));
    const modules = new Set(links.flatMap(({ status, module }) => (module !== undefined && (status === 'module' || status === 'other') ? module : [])));
    const firmware = [...modules].flatMap((module) => absentFirmware(this.#kernel, module) ?? []);
    return { goal, name, links, ok: links.every((link) => isReached(link)), ...(firmware.length > 0 ? { firmware } : {}) };
  }

  /** Other modules are for a system that has its programs. */
  #programmed({ names, why }: Program): readonly Link[] {
    const { isInitramfs, holds } = this.#kernel;
    if (!isInitramfs || !holds || names.some((name) => PROGRAM_PLACES.some((place) => holds(`${place}/${name}`)))) return [];
    return [{ status: 'missing', missing: [names[0] ?? ''], why }];
  }

  #add(devpath: string, seen: Set<string>, links: Link[]): void {
    if (seen.has(devpath)) return;
    seen.add(devpath);
    if (!this.#links.has(devpath)) this.#links.set(devpath, this.#linkOf(devpath));
    const link = this.#links.get(devpath);
    if (link) links.push(link);
  }

  /** Undefined for what had no driver. */
  #linkOf(devpath: string): Link | undefined {
    const device = this.#byDevpath.get(devpath);
    const driver = device?.properties.get('DRIVER');
    if (!device || driver === undefined) return undefined;
    const alias = device.properties.get('MODALIAS') || undefined;
    const bound = this.#moduleOf(device, driver);
    const link = { devpath, driver, ...(alias === undefined ? {} : { alias }), why: `${device.subsystem ?? 'device'} ${devpath.slice(devpath.lastIndexOf('/') + 1)}` };
    return { ...link, ...this.#shown(this.#judge(alias === undefined ? [] : answersFor(this.#kernel.kmod, alias), bound, driver)) };
  }

  /** The module that the driver was of; undefined for one that was built in, or where nobody said. */
  #moduleOf({ subsystem }: CapturedDevice, driver: string): string | undefined {
    const target = this.#recording.links.get(`sys/bus/${subsystem}/drivers/${driver}/module`);
    const module = target?.slice(target.lastIndexOf('/') + 1);
    // Built-in ones that have parameters have such a link, too.
    return module !== undefined && this.#loaded.has(module) ? module : undefined;
  }

  /** `bound` is the module that did it there, `name` what it is called if it was built in: modules that are built in have no aliases for devices. */
  #judge(answers: readonly ModuleAnswer[], bound: string | undefined, name: string): Judged {
    const { kmod } = this.#kernel;
    const named = bound === undefined ? undefined : answers.find(({ module }) => module === bound) ?? answerOf(kmod, bound);
    if (named && isUsable(named)) return named;
    const other = answers.find(isUsable);
    if (other && !this.#isSame) return { ...other, status: bound === undefined ? other.status : 'other' };
    if (named) return named;
    const module = name.replaceAll('-', '_');
    if (this.#isSame || kmod.facts.db.isBuiltin(module)) return { ...(kmod.facts.db.isBuiltin(module) ? { module } : {}), status: 'builtin', missing: [] };
    return answers[0] ?? { status: 'assumed', missing: [] };
  }

  #shown({ source, ...rest }: Judged): Pick<Link, 'module' | 'status' | 'missing' | 'source'> {
    return { ...rest, ...(source ? { source: configuredIn(this.#kernel, source) } : {}) };
  }

  #requested({ alias, module, why }: Request): readonly Link[] {
    const { kmod } = this.#kernel;
    const answers = answersFor(kmod, alias);
    // What an index has is not built in.
    const bound = this.#loaded.has(module) ? module : (answers.find(isUsable) ?? answers[0])?.module;
    const judged = this.#judge(answers, bound, module);
    const link: Link = { alias, ...this.#shown(judged), why };
    return [link, ...(judged.module === undefined || !isReached(link) ? [] : this.#softdeps(judged.module))];
  }

  /** What a file system asks for by name when it is mounted (crc32c) is its softdep: one of those that do it must be there. */
  #softdeps(module: string): readonly Link[] {
    const { kmod } = this.#kernel;
    return kmod.facts.config.softdeps.filter((softdep) => softdep.module === module).flatMap(({ pre }) => pre).flatMap((name): readonly Link[] => {
      const answers = answersFor(kmod, name);
      if (answers.some(isUsable)) return [];
      // The kernel may have it built in under no name at all.
      if (answers.length === 0 && !this.#wasLoadedFor(name)) return [];
      return [{ alias: name, status: 'missing', missing: answers.length === 0 ? [name] : answers.flatMap(({ missing }) => missing), why: `softdep of ${module}` }];
    });
  }

  #wasLoadedFor(name: string): boolean {
    const stem = name.replaceAll('-', '_');
    return [...this.#loaded].some((module) => module === stem || module.startsWith(`${stem}_`));
  }
}

export function isReached({ status }: Pick<Link, 'status'>): boolean {
  return status === 'module' || status === 'builtin' || status === 'assumed' || status === 'other';
}
