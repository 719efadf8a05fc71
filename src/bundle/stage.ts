// What an initramfs of another tool (initramfs-tools, dracut, mkinitcpio) gets from us, as a directory: Node, our tools, a bundle, firmware.

import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { isSea } from 'node:sea';
import { dirname, join } from 'node:path';

import { codeOf, UnsupportedError, UsageError } from '../errors.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../image/cpio.ts';
import { openModules } from '../kmod/find-modules.ts';
import { openImageFile, releasesOf } from '../kmod/image-source.ts';
import { readSelection } from '../kmod/select-reader.ts';
import { type NeedyMachine, splitPatterns } from '../kmod/select.ts';
import type { System } from '../system.ts';
import { GUEST_NODE } from '../vm/guest-init.ts';
import { nodeRuntime } from '../vm/guest-system.ts';
import { textEntry, type GuestEntry } from '../vm/guest-tree.ts';
import type { StageConfig } from '../vm/stage-config.ts';
import { STAGE_DIRECTORY, stageScripts } from '../vm/stage-scripts.ts';
import { planBundle, writePlanned } from './create.ts';

export type StageOptions = Pick<StageConfig, 'bundle' | 'coldplug' | 'timeout'> & {
  /** Names, aliases or path globs, closed over what they need. Of a `bundle` that is there: what it should have. */
  readonly select: readonly string[];
  readonly machines: readonly NeedyMachine[];
  /** A tree or image to take modules from; where they usually are when undefined. */
  readonly modules: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
};

/** All sizes in bytes. */
export type StageReport = {
  readonly path: string;
  readonly release: string;
  readonly bundle: { readonly from: string | undefined; readonly bytes: number };
  readonly firmware: { readonly files: number; readonly bytes: number };
  /** Node, its libraries, our tools and scripts. */
  readonly runtime: { readonly files: number; readonly bytes: number };
  /** Names of `select` that the bundle has not, and firmware that is not on this machine. */
  readonly missing: readonly string[];
  readonly missingFirmware: readonly string[];
};

/** Fills `directory`, which is made or has to be empty, with regular files only. Throws UsageError and UnsupportedError. */
export async function stage(system: System, directory: string, options: StageOptions): Promise<StageReport> {
  const { signal, onProgress, coldplug, timeout } = options;
  const { release } = system;
  if (existsSync(directory) && readdirSync(directory).length > 0) throw new UsageError(`${directory} is not empty`);
  const runtime = await nodeRuntime(process.execPath, undefined, signal);
  // The single executable has the tools in it.
  if (runtime.bundle.length === 0 && !isSea()) throw new UnsupportedError('our tools are not built: run npm run build');
  const scripts = stageScripts({ node: GUEST_NODE, release, libraryPath: runtime.libraryPath, coldplug, timeout });
  const target = join(directory, 'boot', `modules-${release}`);
  const modules = options.bundle === undefined ? await makeBundle(system, directory, target, options) : await takeBundle(system, target, { ...options, bundle: options.bundle });
  onProgress?.('copying Node');
  const written = writeEntries(directory, [
    ...runtime.node,
    ...runtime.bundle.flatMap((entry) => ownEntry(entry)),
    ...Object.entries(scripts).map(([name, text]) => textEntry(join(STAGE_DIRECTORY, name), text, 0o755)),
  ]);
  return { path: directory, release, runtime: written, ...modules };
}

type Modules = Pick<StageReport, 'bundle' | 'firmware' | 'missing' | 'missingFirmware'>;

async function makeBundle(system: System, directory: string, target: string, { select, machines, modules, signal, onProgress }: StageOptions): Promise<Modules> {
  if (select.length + machines.length === 0) {
    throw new UsageError('no modules are selected: name them with --select, machines with --machine, or do so in the configuration (select = ext4, machine = /)');
  }
  const request = { ...splitPatterns(select), machines, firmware: true };
  const contents = await planBundle(system, { modules: modules === undefined ? [] : [modules], select: request, onProgress });
  try {
    mkdirSync(dirname(target), { recursive: true });
    const files = contents.files.filter(({ kind }) => kind !== 'firmware');
    const report = await writePlanned(target, { ...contents, files }, { format: 'erofs', mtime: 0, selected: select.map((name) => `--select=${name}`), signal, onProgress });
    // The kernel takes firmware from /lib/firmware, not out of a bundle.
    const firmware = contents.files.flatMap(({ kind, path, from }): GuestEntry[] => (
      kind === 'firmware' && typeof from === 'string' ? [{ ...textEntry(join('lib', path), ''), data: readFileSync(from) }] : []
    ));
    return { bundle: { from: undefined, bytes: report.size }, firmware: writeEntries(directory, firmware), missing: [], missingFirmware: report.missingFirmware };
  } finally {
    contents.close?.();
  }
}

/** A bundle that is there goes in as it is. */
async function takeBundle(system: System, target: string, { bundle, select, machines }: StageOptions & { readonly bundle: string }): Promise<Modules> {
  const { release } = system;
  const path = bundle.replaceAll('%r', release);
  const advice = `make one with tskmod bundle create -S ${release} -o ${path}`;
  if (!existsSync(path)) throw new UsageError(`there is no bundle ${path}: ${advice}`);
  if (statSync(path).isDirectory()) throw new UsageError(`${path} is a directory, not a bundle: ${advice}`);
  const image = await openImageFile(system, path);
  try {
    const found = releasesOf(image.tree);
    if (!found.includes(release)) throw new UsageError(`${path} has modules of ${found.join(', ') || 'no release'}, not of ${release}: ${advice}`);
  } finally {
    image.close();
  }
  const source = await openModules(system, path);
  try {
    const { missing } = await readSelection(system, source, { ...splitPatterns(select), machines });
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(path, target);
    return {
      bundle: { from: path, bytes: statSync(path).size }, firmware: { files: 0, bytes: 0 },
      missing: missing.filter(({ kind }) => kind !== 'firmware').map(({ name }) => name), missingFirmware: [],
    };
  } finally {
    source.close?.();
  }
}

/** An entry of a guest of ours, where it is in an image of others; without the wrappers and links of the guest. */
function ownEntry(entry: GuestEntry): GuestEntry[] {
  const type = entry.mode & S_IFMT;
  const [top, ...rest] = entry.path.split('/');
  return top !== 'app' || rest[0] === 'modprobe' || (type !== S_IFREG && type !== S_IFDIR) ? [] : [{ ...entry, path: join(STAGE_DIRECTORY, ...rest).slice(1) }];
}

/** Bytes are those of regular files. */
function writeEntries(directory: string, entries: readonly GuestEntry[]): { readonly files: number; readonly bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const entry of entries) {
    const path = join(directory, entry.path);
    if ((entry.mode & S_IFMT) !== S_IFREG) continue;
    mkdirSync(dirname(path), { recursive: true });
    if ('from' in entry) copyFileSync(entry.from.path, path);
    else writeFileSync(path, entry.data ?? '');
    chmodSync(path, entry.mode & 0o777);
    files++;
    bytes += statSync(path).size;
  }
  return { files, bytes };
}

/** Text of a configuration that need not be there. */
export function configText(path: string, isNamed: boolean): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || isNamed) throw error;
    return '';
  }
}
