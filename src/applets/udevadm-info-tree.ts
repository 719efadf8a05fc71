// The tree of `udevadm info --tree`: each device below the one whose path begins its own.

import { compareDevpaths } from '../udev/trigger.ts';

/** A device and the lines that describe it. */
export type TreeItem = { readonly devpath: string; readonly lines: readonly string[] };

type Node = TreeItem & { readonly children: Node[] };

/** The whole text, with the number of devices at its end. */
export function formatTree(items: readonly TreeItem[]): string {
  const roots: Node[] = [];
  // In the order of their paths each device comes behind those above it: a stack of these is all that is needed.
  const above: Node[] = [];
  for (const item of items.toSorted((a, b) => compareDevpaths(a.devpath, b.devpath))) {
    let parent = above.at(-1);
    while (parent && !item.devpath.startsWith(`${parent.devpath}/`)) {
      above.pop();
      parent = above.at(-1);
    }
    const node: Node = { ...item, children: [] };
    (parent?.children ?? roots).push(node);
    above.push(node);
  }
  const out: string[] = [];
  addNodes(roots, '', '', out);
  return `${out.map((line) => `${line}\n`).join('')}\n${items.length} items shown.\n`;
}

/** A stack of our own would be deeper than sysfs, whose paths have a length. */
function addNodes(nodes: readonly Node[], indent: string, above: string, out: string[]): void {
  nodes.forEach((node, index) => {
    const isLast = index === nodes.length - 1;
    const below = `${indent}${isLast ? '  ' : '│ '}`;
    out.push(`${indent}${isLast ? '└─' : '├─'}${above === '' ? node.devpath : node.devpath.slice(above.length + 1)}`);
    for (const line of node.lines) out.push(`${below}┆ ${line}`);
    addNodes(node.children, below, node.devpath, out);
  });
}
