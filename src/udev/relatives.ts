// Which earlier events an event must wait for: those of the same device, of its parents, and of its children.

export type Kinship = {
  /** The devpath, and the one before a move. */
  readonly devpaths: readonly string[];
  /** Names that no two devices have at a time: the device id, the node below /dev. */
  readonly names: readonly string[];
};

/** The unfinished events, found by kinship. */
export interface Relatives<T extends object> {
  /** Adds an event. Returns the earlier ones that must have finished before it starts; what those wait for in turn is left out. */
  add(event: T, kinship: Kinship): ReadonlySet<T>;
  /** Forgets an event that has finished. */
  remove(event: T, kinship: Kinship): void;
}

/** A component of a devpath. `last` is the newest unfinished event of the device; the older ones finish before it. */
type PathNode<T> = { readonly children: Map<string, PathNode<T>>; last: T | undefined };

/**
 * A tree of devpaths. A look-up costs the depth of the path and the number of busy devices below it, however many events wait:
 * each waits for the newest before it only, and so for all.
 */
export function openRelatives<T extends object>(): Relatives<T> {
  const root: PathNode<T> = { children: new Map(), last: undefined };
  const byName = new Map<string, T>();

  return {
    add(event, { devpaths, names }) {
      const blockers = new Set<T>();
      for (const devpath of devpaths) {
        let node = root;
        for (const component of componentsOf(devpath)) {
          if (node.last) blockers.add(node.last);
          let child = node.children.get(component);
          if (!child) node.children.set(component, child = { children: new Map(), last: undefined });
          node = child;
        }
        collect(node, blockers);
        node.last = event;
      }
      for (const name of names) {
        const last = byName.get(name);
        if (last) blockers.add(last);
        byName.set(name, event);
      }
      blockers.delete(event);
      return blockers;
    },
    remove(event, { devpaths, names }) {
      for (const devpath of devpaths) removeAt(root, componentsOf(devpath), event);
      for (const name of names) if (byName.get(name) === event) byName.delete(name);
    },
  };
}

function componentsOf(devpath: string): readonly string[] {
  return devpath.split('/').slice(1);
}

function collect<T>(top: PathNode<T>, into: Set<T>): void {
  const stack = [top];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.last) into.add(node.last);
    stack.push(...node.children.values());
  }
}

/** Also takes away the components that lead to no event any more. */
function removeAt<T>(root: PathNode<T>, components: readonly string[], event: T): void {
  const path = [root];
  for (const component of components) {
    const child = path.at(-1)?.children.get(component);
    if (!child) return;
    path.push(child);
  }
  const node = path.at(-1);
  if (node?.last === event) node.last = undefined;
  for (let depth = path.length - 1; depth > 0; depth--) {
    const child = path[depth];
    const component = components[depth - 1];
    if (!child || child.last || child.children.size > 0 || component === undefined) return;
    path[depth - 1]?.children.delete(component);
  }
}
