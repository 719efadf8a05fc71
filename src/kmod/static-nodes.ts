// Device nodes that exist before their driver does (modules.devname): opening one makes the kernel load the module.

export type StaticNode = {
  readonly module: string;
  /** Below /dev. */
  readonly name: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
};

export type StaticNodes = {
  readonly nodes: readonly StaticNode[];
  /** Lines that are neither comments nor nodes, with their newline. */
  readonly bad: readonly string[];
};

export type StaticNodeFormat = 'human' | 'tmpfiles' | 'devname';

export const STATIC_NODE_FORMATS: readonly StaticNodeFormat[] = ['human', 'tmpfiles', 'devname'];

/** Lines `MODULE NAME TYPEMAJOR:MINOR`, as depmod writes them; `#` begins a comment. */
export function parseStaticNodes(text: string): StaticNodes {
  const nodes: StaticNode[] = [];
  const bad: string[] = [];
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    if (line.startsWith('#')) continue;
    const match = /^\s*(\S+)\s+(\S+)\s+([cb])\s*(\d{1,10}):\s*(\d{1,10})/.exec(line);
    const [, module, name, type, major, minor] = match ?? [];
    if (module === undefined || name === undefined || (type !== 'c' && type !== 'b')) bad.push(line);
    else nodes.push({ module, name, type, major: Number(major), minor: Number(minor) });
  }
  return { nodes, bad };
}

/** `human` for people, `tmpfiles` for systemd-tmpfiles (tmpfiles.d(5)), `devname` as it was. */
export function formatStaticNode({ module, name, type, major, minor }: StaticNode, format: StaticNodeFormat): string {
  switch (format) {
    case 'human': {
      const kind = type === 'c' ? 'character' : 'block';
      return `Module: ${module}\n\tDevice node: /dev/${name}\n\t\tType: ${kind} device\n\t\tMajor: ${major}\n\t\tMinor: ${minor}\n`;
    }
    case 'tmpfiles': {
      const slash = name.lastIndexOf('/');
      const directory = slash < 0 ? '' : `d /dev/${name.slice(0, slash)} 0755 - - -\n`;
      return `${directory}${type}! /dev/${name} 0600 - - - ${major}:${minor}\n`;
    }
    case 'devname':
      return `${module} ${name} ${type}${major}:${minor}\n`;
  }
}
