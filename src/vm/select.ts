// Which modules of a tree a guest gets: path globs as a person types them, closed over dependencies and softdeps.

import { readFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';

import { UsageError } from '../errors.ts';
import { moduleNameOfPath } from '../kmod/alias.ts';
import { openKmod } from '../kmod/kmod.ts';
import { openTreeDirectory } from '../kmod/tree-source.ts';
import { openSystem } from '../system.ts';

/**
 * The paths below `tree` (a lib/modules/RELEASE with modules.dep) that the globs name, such as `kernel/fs/xfs/*`, with or
 * without the ending of the file; and all that modprobe would load with these modules. Throws UsageError for a glob that
 * names nothing.
 */
export async function selectModules(tree: string, release: string, globs: readonly string[]): Promise<string[]> {
  const { minimatch } = await import('minimatch');
  const paths = readFileSync(join(tree, 'modules.dep'), 'utf8').split('\n').filter(Boolean).map((line) => line.slice(0, line.indexOf(':')));
  // The guest has a configuration of its own: only what the tree says counts.
  const kmod = openKmod(openSystem({ release }), { source: openTreeDirectory(tree, release), configPaths: [] });
  const selected = new Set<string>();
  for (const glob of globs) {
    const named = paths.filter((path) => minimatch(path, glob) || minimatch(path.replace(/\.ko(?:\.\w+)?$/, ''), glob));
    if (named.length === 0) throw new UsageError(`--include ${glob}: names no module of ${tree}`);
    for (const path of named) {
      const steps = kmod.plan(moduleNameOfPath(path), { ignoreLoaded: true }).goals.flatMap((goal) => goal.steps);
      for (const step of steps) if (step.path !== '') selected.add(relative(tree, step.path));
    }
  }
  // Modules outside of the tree are not the guest's.
  return [...selected].filter((path) => !path.startsWith('..') && !isAbsolute(path)).sort();
}
