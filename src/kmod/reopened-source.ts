// A module source that can be opened anew while others use it: what a daemon has.

import type { ModuleSource } from './module-source.ts';

export interface ReopenedSource extends ModuleSource {
  /** Opens it again. Rejects as `open` does; then all stays as it was. Files that are open stay usable until the next time. */
  reopen(): Promise<void>;
  close(): void;
}

export async function openReopened(open: () => Promise<ModuleSource>): Promise<ReopenedSource> {
  let current = await open();
  let former: ModuleSource | undefined;
  return {
    get kind() {
      return current.kind;
    },
    get release() {
      return current.release;
    },
    get name() {
      return current.name;
    },
    get file() {
      return current.file;
    },
    get layers() {
      return current.layers;
    },
    readIndex: (name) => current.readIndex(name),
    openIndex: (name) => {
      if (current.openIndex) return current.openIndex(name);
      const bytes = current.readIndex(name);
      return bytes && { read: (into, offset) => copyFrom(bytes, into, offset), size: () => bytes.length, all: () => bytes, close: () => undefined };
    },
    readText: (name) => current.readText(name),
    resolve: (path) => current.resolve(path),
    exists: (path) => current.exists(path),
    open: (path) => current.open(path),
    async reopen() {
      const next = await open();
      former?.close?.();
      former = current;
      current = next;
    },
    close() {
      former?.close?.();
      current.close?.();
    },
  };
}

function copyFrom(bytes: Uint8Array, into: Uint8Array, offset: number): number {
  const part = bytes.subarray(offset, offset + into.length);
  into.set(part);
  return part.length;
}
