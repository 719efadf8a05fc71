// Nodes that are there before their driver: made from modules.devname, and given the access that rules with static_node ask for.

import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { ModuleSource } from '../kmod/module-source.ts';
import { openTree } from '../kmod/tree-source.ts';
import { parseStaticNodes } from '../kmod/static-nodes.ts';
import { errnoByName, S_IFBLK, S_IFCHR, systemError } from '../system.ts';
import type { System } from '../system.ts';
import { makeDirectory, replaceLink } from './atomic-file.ts';
import { normalDevName } from './link-name.ts';
import { applyAccess, deviceNumberOf, isDevtmpfs, logNodeFailure, STATIC_NODE_BIT, withNode } from './node.ts';
import { isTag } from './tags.ts';

/** As systemd's tmpfiles make them: whoever shall use one needs a rule. */
const STATIC_NODE_MODE = 0o600;

/** What rules with `OPTIONS+="static_node=PATH"` ask for one node. */
export type StaticNodeWishes = {
  /** Below /dev. */
  readonly path: string;
  readonly owner?: number | undefined;
  readonly group?: number | undefined;
  readonly mode?: number | undefined;
  readonly tags: readonly string[];
};

/** Makes the nodes of modules.devname that are not there. Returns their names below /dev; what cannot be made is logged. */
export async function createStaticNodes(system: System, modules: ModuleSource = openTree(system)): Promise<readonly string[]> {
  const text = modules.readIndex('modules.devname');
  if (!text) return [];
  const native = await system.native();
  // Where udev makes all nodes it also removes them, and must know these.
  const keepBit = isDevtmpfs(system) ? 0 : STATIC_NODE_BIT;
  return parseStaticNodes(Buffer.from(text).toString()).nodes.flatMap(({ name, type, major, minor }): readonly string[] => {
    const normal = normalDevName(name);
    const path = normal === undefined ? undefined : join(system.roots.dev, normal);
    if (normal === undefined || path === undefined || lstatSync(path, { throwIfNoEntry: false })) return [];
    try {
      makeDirectory(dirname(path));
      const errno = native.mknod(path, (type === 'b' ? S_IFBLK : S_IFCHR) | STATIC_NODE_MODE | keepBit, major, minor);
      if (errno === errnoByName('EEXIST')) return [];
      if (errno !== 0) throw systemError('mknod', errno, path);
      return [normal];
    } catch (error) {
      logNodeFailure(system, path, error);
      return [];
    }
  });
}

/** Once, at the start of the daemon: owner, group, mode and tags of the static nodes that are there. Others are passed over. */
export function applyStaticNodeRules(system: System, nodes: readonly StaticNodeWishes[]): void {
  for (const node of nodes) {
    const { owner, group, mode, tags } = node;
    const name = normalDevName(node.path);
    if (name === undefined || (owner ?? group ?? mode ?? tags[0]) === undefined) continue;
    const path = join(system.roots.dev, name);
    try {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      const devnum = stat && deviceNumberOf(stat);
      if (!devnum) continue;
      for (const tag of tags) tagNode(system, tag, name, path);
      if ((owner ?? group ?? mode) === undefined) continue;
      // What no rule says is root's: the node is made by us, and what an earlier boot left does not count.
      const access = { owner: owner ?? 0, group: group ?? 0, mode: mode ?? (group === undefined ? 0o600 : 0o660) };
      withNode(system, path, devnum, (current, alias) => applyAccess(alias, current, access));
    } catch (error) {
      logNodeFailure(system, path, error);
    }
  }
}

/** /run/udev/static_node-tags/TAG/NAME: who looks for tagged devices (uaccess) finds the nodes without one here. */
function tagNode(system: System, tag: string, name: string, path: string): void {
  if (!isTag(tag)) return;
  const directory = join(system.roots.run, 'udev/static_node-tags', tag);
  makeDirectory(directory);
  replaceLink(join(directory, name.replaceAll('/', '\\x2f')), path);
}
