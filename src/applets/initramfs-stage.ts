// tskmod initramfs stage: a directory of what an initramfs of another tool gets from us; the hooks of packaging/ copy it.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { UsageError } from '../errors.ts';
import type { System } from '../system.ts';
import type { AppletContext } from './applet.ts';
import { sizeText, table } from './bundle-text.ts';
import { getopt, type OptionSpec } from './getopt.ts';
import { jsonLine } from './json.ts';
import { SELECT_OPTIONS, selectionIn } from './select-options.ts';

const PROGRAM = 'tskmod initramfs';
/** Below the root: read when --config names no other. */
const CONFIG = 'etc/tsmodprobe/initramfs.conf';

const OPTIONS: readonly OptionSpec[] = [
  { long: 'release', short: 'S', argument: 'required' }, { long: 'config', argument: 'required' }, { long: 'modules', argument: 'required' },
  ...SELECT_OPTIONS, { long: 'json' },
];

/** Throws UsageError, ParseError of the configuration, and what stage throws. */
export async function runStage(argv: readonly string[], context: AppletContext, onProgress: (line: string) => void, signal: AbortSignal): Promise<string> {
  const { options, operands: [, directory, ...more] } = getopt(argv, OPTIONS, PROGRAM);
  if (directory === undefined || more.length > 0) throw new UsageError('stage: name one directory, which is made');
  const last = (name: string): string | undefined => options.findLast((option) => option.name === name)?.value;
  const { configText, stage } = await import('../bundle/stage.ts');
  const { parseStageConfig } = await import('../vm/stage-config.ts');
  const release = last('release');
  const system = context.openSystem(release === undefined ? {} : { release });
  const named = last('config');
  const path = named ?? join(system.roots.config || '/', CONFIG);
  const { bundle, coldplug, timeout, ...config } = parseStageConfig(configText(path, named !== undefined), path);
  const configured = selectionIn([...config.select.map((value) => ({ name: 'select', value })), ...config.machine.map((value) => ({ name: 'machine', value }))]);
  const asked = selectionIn(options);
  const report = await stage(system, resolve(directory), {
    bundle, coldplug, timeout, select: [...configured.select, ...asked.select], machines: [...configured.machines, ...asked.machines],
    modules: bundle === undefined ? placeOfModules(system, last('modules')) : undefined, signal, onProgress,
  });
  if (report.missing.length > 0) context.stderr(`${PROGRAM}: warning: ${report.bundle.from} lacks what was asked for: ${report.missing.join(', ')}\n`);
  if (last('json') !== undefined) return jsonLine('stage', report);
  const { firmware, missingFirmware, runtime } = report;
  return table([
    ['Node and tools', sizeText(runtime.bytes), ''],
    ['bundle', sizeText(report.bundle.bytes), report.bundle.from ?? `made of the modules of ${report.release}`],
    ...(firmware.files + missingFirmware.length === 0 ? [] : [['firmware', sizeText(firmware.bytes), `${firmware.files} files; ${missingFirmware.length} that modules name are not on this machine`]]),
  ]);
}

/** The modules that were named, or the tree of the release. */
export function placeOfModules(system: System, named: string | undefined): string {
  if (named !== undefined) {
    if (!existsSync(named)) throw new UsageError(`--modules ${named}: no such file or directory`);
    return named;
  }
  const { release } = system;
  const places = ['lib/modules', 'usr/lib/modules'].map((place) => join(system.roots.modules || '/', place, release));
  const found = places.find((directory) => existsSync(directory));
  if (found === undefined) throw new UsageError(`no modules of ${release} in ${places.join(' or ')}: name them with --modules, or another release with -S`);
  return found;
}
