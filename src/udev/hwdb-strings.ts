// The string table of hwdb.bin, in which a string that ends another one costs nothing.

import { LimitError } from '../errors.ts';

/** Bytes of all strings; Debian's are 2.7 MB. */
const MAX_STRINGS = 256 * 1024 * 1024;

/**
 * Strings end with NUL, and so the tail of a string is a string as well. Which of several places a tail is found at decides over the
 * bytes of the file: strings hang in a trie by their last characters, each as near to the root as it could when it came, and the
 * first node on the way that ends in the wanted string is the place. As systemd does it, so that the files are equal byte by byte.
 */
export class HwdbStrings {
  private readonly texts: string[] = [''];
  private readonly ends: number[] = [0];
  /** By node and character code. */
  private readonly children = new Map<number, number>();
  private readonly parts: string[] = ['\0'];
  private size = 1;

  /** The offset of a string (latin1) in the table; 0 is the empty one. */
  add(text: string): number {
    if (text === '') return 0;
    let node = 0;
    let depth = 0;
    for (;; depth++) {
      const end = this.ends[node] ?? 0;
      if (depth === text.length || (this.texts[node] ?? '').endsWith(text)) return end - text.length;
      const child = this.children.get(childKey(node, text, depth));
      if (child === undefined) break;
      node = child;
    }
    const offset = this.size;
    if (offset + text.length + 1 > MAX_STRINGS) throw new LimitError({ file: 'hwdb.bin', limit: 'bytes of strings', maximum: MAX_STRINGS });
    this.children.set(childKey(node, text, depth), this.texts.length);
    this.texts.push(text);
    this.ends.push(offset + text.length);
    this.parts.push(text, '\0');
    this.size = offset + text.length + 1;
    return offset;
  }

  bytes(): Buffer {
    return Buffer.from(this.parts.join(''), 'latin1');
  }
}

function childKey(node: number, text: string, depth: number): number {
  return node * 256 + text.charCodeAt(text.length - 1 - depth);
}
