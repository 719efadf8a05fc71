// Compiles the text of .hwdb files into hwdb.bin, byte by byte as systemd-hwdb does.

import { LimitError } from '../errors.ts';
import {
  CHILD_ENTRY_SIZE, HEADER_SIZE, HWDB_SIGNATURE, NODE_SIZE, VALUE_ENTRY_SIZE, VALUE_ENTRY_SIZE_OLD,
} from './hwdb-layout.ts';
import type { HwdbText } from './hwdb-parse.ts';
import { HwdbStrings } from './hwdb-strings.ts';

export type HwdbCompileOptions = {
  /** Leave out where each value comes from, as `udevadm hwdb --update` does: such files are smaller. */
  readonly compat?: boolean;
  /** What the header calls the version of the tool; 252 when absent. */
  readonly toolVersion?: number;
};

/** Match strings become the depth of the trie, and the walks are recursive. */
const MAX_MATCH = 2048;

/** The field in the file has 16 bits. */
const MAX_FILES = 0xffff;

/** The version of systemd whose files ours are equal to. */
const TOOL_VERSION = 252;

type Value = { keyOffset: number; valueOffset: number; fileOffset: number; line: number; priority: number };

type Node = {
  prefix: string;
  prefixOffset: number;
  /** By character code, ascending when they are written. */
  children: Map<number, Node>;
  /** By key. */
  values: Map<string, Value>;
};

/**
 * The bytes of hwdb.bin. Later files win over earlier ones, within a file later lines; of the same match and key only the last is kept.
 *
 * @param texts in the order in which udev reads them
 */
export function compileHwdb(texts: readonly HwdbText[], options: HwdbCompileOptions = {}): Uint8Array {
  const { compat = false, toolVersion = TOOL_VERSION } = options;
  if (texts.length > MAX_FILES) throw new LimitError({ file: 'hwdb.bin', limit: 'files', maximum: MAX_FILES, actual: texts.length });
  const strings = new HwdbStrings();
  const root = makeNode('', 0);
  texts.forEach(({ file, properties }, index) => {
    for (const { matches, key, value, line } of properties) {
      // The blank stays part of the key: keys that start otherwise are reserved.
      const stored = ` ${key}`;
      for (const match of matches) {
        if (match.length > MAX_MATCH) throw new LimitError({ file, limit: 'length of a match', maximum: MAX_MATCH, actual: match.length });
        const node = insertMatch(root, match, strings);
        const keyOffset = strings.add(stored);
        const valueOffset = strings.add(value);
        const fileOffset = compat ? 0 : strings.add(file);
        const known = node.values.get(stored);
        node.values.set(stored, { keyOffset: known?.keyOffset ?? keyOffset, valueOffset, fileOffset, line, priority: index + 1 });
      }
    }
  });
  return writeTrie(root, strings, compat, toolVersion);
}

function makeNode(prefix: string, prefixOffset: number): Node {
  return { prefix, prefixOffset, children: new Map(), values: new Map() };
}

/** The node of a match string, which is made where it is missing. */
function insertMatch(root: Node, match: string, strings: HwdbStrings): Node {
  let node = root;
  for (let i = 0; ; i++) {
    const { prefix } = node;
    let p = 0;
    while (p < prefix.length && prefix[p] === match[i + p]) p++;
    if (p < prefix.length) splitNode(node, p, strings);
    i += p;
    if (i === match.length) return node;
    const code = match.charCodeAt(i);
    const child = node.children.get(code);
    if (!child) {
      const rest = match.slice(i + 1);
      const added = makeNode(rest, strings.add(rest));
      node.children.set(code, added);
      return added;
    }
    node = child;
  }
}

/** The node keeps the first `length` characters of its prefix; all else moves into one child. */
function splitNode(node: Node, length: number, strings: HwdbStrings): void {
  const lower: Node = {
    prefix: node.prefix.slice(length + 1), prefixOffset: node.prefixOffset + length + 1, children: node.children, values: node.values,
  };
  const code = node.prefix.charCodeAt(length);
  node.prefix = node.prefix.slice(0, length);
  node.prefixOffset = strings.add(node.prefix);
  node.children = new Map([[code, lower]]);
  node.values = new Map();
}

/** Header, nodes (children before their parents, each with its child and value tables behind it), strings. */
function writeTrie(root: Node, strings: HwdbStrings, compat: boolean, toolVersion: number): Uint8Array {
  const valueSize = compat ? VALUE_ENTRY_SIZE_OLD : VALUE_ENTRY_SIZE;
  const nodesSize = sizeOf(root, valueSize);
  const stringBytes = strings.bytes();
  const stringsAt = HEADER_SIZE + nodesSize;
  const bytes = Buffer.alloc(stringsAt + stringBytes.length);
  let end = HEADER_SIZE;

  const write = (node: Node): number => {
    const children = [...node.children].sort(([a], [b]) => a - b).map(([code, child]) => ({ code, at: write(child) }));
    const at = end;
    end += NODE_SIZE + children.length * CHILD_ENTRY_SIZE + node.values.size * valueSize;
    writeOffset(bytes, at, stringsAt + node.prefixOffset);
    bytes.writeUInt8(children.length, at + 8);
    writeOffset(bytes, at + 16, node.values.size);
    let entry = at + NODE_SIZE;
    for (const child of children) {
      bytes.writeUInt8(child.code, entry);
      writeOffset(bytes, entry + 8, child.at);
      entry += CHILD_ENTRY_SIZE;
    }
    const values = node.values.size < 2 ? node.values : [...node.values].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, value] of values) {
      writeOffset(bytes, entry, stringsAt + value.keyOffset);
      writeOffset(bytes, entry + 8, stringsAt + value.valueOffset);
      if (!compat) {
        writeOffset(bytes, entry + 16, stringsAt + value.fileOffset);
        bytes.writeUInt32LE(value.line, entry + 24);
        bytes.writeUInt16LE(value.priority, entry + 28);
      }
      entry += valueSize;
    }
    return at;
  };

  const rootAt = write(root);
  bytes.write(HWDB_SIGNATURE, 0, 'latin1');
  [toolVersion, bytes.length, HEADER_SIZE, NODE_SIZE, CHILD_ENTRY_SIZE, valueSize, rootAt, nodesSize, stringBytes.length]
    .forEach((field, index) => writeOffset(bytes, 8 + 8 * index, field));
  bytes.set(stringBytes, stringsAt);
  return bytes;
}

function sizeOf(node: Node, valueSize: number): number {
  let size = NODE_SIZE + node.children.size * CHILD_ENTRY_SIZE + node.values.size * valueSize;
  for (const child of node.children.values()) size += sizeOf(child, valueSize);
  return size;
}

/** 64 bits; no file of ours comes near the 53 of a number. */
function writeOffset(bytes: Buffer, at: number, value: number): void {
  bytes.writeUIntLE(value, at, 6);
}
