// Where the modules of a release come from: one interface for a directory tree and for a single file.

/** The names of the indexes that depmod writes, without directory. */
export type IndexName =
  | 'modules.dep' | 'modules.dep.bin'
  | 'modules.alias' | 'modules.alias.bin'
  | 'modules.symbols' | 'modules.symbols.bin'
  | 'modules.builtin' | 'modules.builtin.bin' | 'modules.builtin.alias.bin' | 'modules.builtin.modinfo'
  | 'modules.softdep' | 'modules.weakdep' | 'modules.order' | 'modules.devname';

/** One open module file. */
export interface ModuleFile {
  /** As messages and `modprobe -v` print it. */
  readonly path: string;
  /** Bytes in the file, compressed if it is. */
  readonly size: number;
  /** A descriptor that is exactly this file, which finit_module(2) can take, or undefined where the file is a part of another. */
  readonly fd: number | undefined;
  /** Up to `length` bytes from `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** An index that is open, to be read in parts. */
export interface IndexReader {
  /** Fills `into` from `offset`; returns how many bytes it got: fewer only at the end of the file. Throws SystemError. */
  read(into: Uint8Array, offset: number): number;
  /** Bytes of the whole index. */
  size(): number;
  /** The whole index. */
  all(): Uint8Array;
  /** May be called again. */
  close(): void;
}

/** A place that holds the modules of one kernel release. */
export interface ModuleSource {
  readonly kind: 'tree' | 'image' | 'layers';
  readonly release: string;
  /** What messages call it: the directory of the tree, or the image with the directory inside. */
  readonly name: string;
  /** The whole index, or undefined where it is absent. Throws SystemError when it is there and cannot be read. */
  readIndex(name: IndexName): Uint8Array | undefined;
  /** The same for reading in parts, where the source can do that. */
  openIndex?(name: IndexName): IndexReader | undefined;
  /** The same as text, its bytes as the characters 0 to 255. */
  readText(name: IndexName): string | undefined;
  /** A path as `modules.dep` writes it, as people see it: absolute paths stay, others are below the tree. */
  resolve(path: string): string;
  exists(path: string): boolean;
  /** Opens the module at a path as `modules.dep` writes it, or as `resolve` gives it. Throws SystemError. */
  open(path: string): ModuleFile;
  /** The image, where it is one. */
  readonly file?: string | undefined;
  /** What it is merged of, base first. */
  readonly layers?: readonly ModuleSource[] | undefined;
  /** Bytes of a file or directory below it, and its time in seconds since 1970; of an image only. */
  stat?(path: string): { readonly size: number; readonly mtime: number } | undefined;
  /** All module files, below the tree, in no order: of an image, without its indexes. */
  modulePaths?(): readonly string[];
  /** Gives back what the source keeps open, where it does. */
  close?(): void;
}

/** Whether its modules are found by name. */
export function hasIndexes(source: ModuleSource): boolean {
  return source.exists('modules.dep.bin') || source.exists('modules.dep');
}
