// modprobe -c: the configuration as modprobe has read it, then the alias indexes.

import type { Config } from '../kmod/config.ts';
import type { ModuleDb } from '../kmod/module-db.ts';

/** The lines, in kmod's order: by kind, then as read. */
export function* configLines(config: Config, db: ModuleDb, { strict }: { readonly strict: boolean }): Generator<string> {
  for (const { module } of config.blacklist) yield `blacklist ${module}\n`;
  for (const { module, command } of config.install) yield `install ${module} ${command}\n`;
  for (const { module, command } of config.remove) yield `remove ${module} ${command}\n`;
  for (const { pattern, module } of config.aliases) yield `alias ${pattern} ${module}\n`;
  for (const { module, params } of config.options) yield `options ${module} ${params}\n`;
  for (const { module, pre, post } of config.softdeps) {
    // kmod forgets the blank between the lists.
    const between = strict || pre.length === 0 ? '' : ' ';
    yield `softdep ${module} ${pre.length > 0 ? `pre: ${pre.join(' ')}` : ''}${post.length > 0 ? `${between}post: ${post.join(' ')}` : ''}\n`;
  }
  for (const { module, weak } of config.weakdeps) yield `weakdep ${module} ${weak.join(' ')}\n`;
  for (const { module } of config.deny) yield `#tsmodprobe: deny ${module}\n`;
  yield '\n# End of configuration files. Dumping indexes now:\n\n';
  for (const { key, value } of db.aliasEntries()) yield `alias ${key} ${value}\n`;
  for (const { key, value } of db.symbolEntries()) yield `alias ${key} ${value}\n`;
}
