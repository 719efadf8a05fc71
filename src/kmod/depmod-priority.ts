// Which of two files of one module depmod takes: overrides first, then the search list, then whichever came first.

import type { DepmodConfig } from './depmod-config.ts';

/** A module file as depmod found it. */
export type ModulePath = {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** As modules.dep has it: below the tree, or absolute for an external one. */
  readonly relative: string;
};

/** `extension` is a compression's, where files of it are modules. */
export const MODULE_EXTENSIONS = ['.ko', '.ko.gz', '.ko.xz', '.ko.zst'] as const;

export function isModuleFile(name: string): boolean {
  return MODULE_EXTENSIONS.some((extension) => name.length > extension.length && name.endsWith(extension));
}

/**
 * Whether the file that was seen first stays. The rule is kmod's (depmod_module_is_higher_priority of tools/depmod.c), to
 * the letter: where one search entry holds both files, only the new one gets its rank.
 */
export function staysFirst(old: ModulePath, added: ModulePath, config: DepmodConfig): boolean {
  const oldStem = stem(old);
  const newStem = stem(added);
  for (const override of config.overrides) {
    if (newStem === override) return false;
    if (oldStem === override) return true;
  }
  let rank = 0;
  let builtin = -1;
  let oldRank = -1;
  let newRank = -1;
  for (const entry of config.search) {
    if (entry.kind === 'built-in') {
      builtin = rank;
    } else if (entry.kind === 'external') {
      for (const external of config.externals) {
        if (newStem.startsWith(`${external}/`)) newRank = rank;
        if (oldStem.startsWith(`${external}/`)) oldRank = rank;
        rank++;
      }
    } else if (newStem.startsWith(`${entry.path}/`)) {
      newRank = rank;
    } else if (oldStem.startsWith(`${entry.path}/`)) {
      oldRank = rank;
    }
    rank++;
  }
  return (newRank < 0 ? builtin : newRank) <= (oldRank < 0 ? builtin : oldRank);
}

/** The path up to the end of the module's name: an override names no extension. */
function stem({ name, relative }: ModulePath): string {
  return relative.slice(0, relative.lastIndexOf('/') + 1 + name.length);
}
