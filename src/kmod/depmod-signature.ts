// Signatures of what the outputs of depmod are made of: where they are as before, so is the output.

import type { ModuleFacts } from './module-facts.ts';

/** What an output is made of, besides the list of modules: their .modinfo, their symbols, their dependencies, or other files. */
export type OutputInput = 'info' | 'symbols' | 'dependencies' | 'files';

/** Hexadecimal. */
export type Signature = string;

/** The signatures of all inputs but `files`, whose outputs are made anew every time. */
export function signaturesOf(
  modules: readonly { readonly relative: string }[], facts: readonly (ModuleFacts | undefined)[], layout: string,
): Readonly<Record<Exclude<OutputInput, 'files'>, Signature>> {
  const list = new Digest();
  list.text(layout);
  for (const { relative } of modules) list.text(relative);
  const [info, symbols, dependencies] = [list.copy(), list.copy(), list.copy()];
  for (const fact of facts) {
    info.number(fact?.infoDigest ?? 0);
    symbols.number(fact?.exportDigest ?? 0);
    dependencies.number(fact?.exportDigest ?? 0);
    dependencies.number(fact?.needDigest ?? 0);
  }
  return { info: info.value(), symbols: symbols.value(), dependencies: dependencies.value() };
}

/** The signature of a file's content. */
export function contentSignature(content: Uint8Array): Signature {
  const digest = new Digest();
  // By words: the files have megabytes.
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  let at = 0;
  for (; at + 4 <= content.length; at += 4) digest.number(view.getUint32(at, true));
  for (; at < content.length; at++) digest.number(content[at] ?? 0);
  digest.number(content.length);
  return digest.value();
}

/** Two lanes of FNV-1a with different primes: 64 bits against chance. */
class Digest {
  #a = 0x811c9dc5;
  #b = 0x2f0b4f1d;

  copy(): Digest {
    const copy = new Digest();
    copy.#a = this.#a;
    copy.#b = this.#b;
    return copy;
  }

  number(value: number): void {
    const a = Math.imul(this.#a ^ value, 0x01000193);
    this.#a = a ^ (a >>> 15);
    const b = Math.imul(this.#b ^ value, 0x5bd1e995);
    this.#b = b ^ (b >>> 13);
  }

  text(value: string): void {
    for (let i = 0; i < value.length; i++) this.number(value.charCodeAt(i));
    this.number(-1);
  }

  value(): Signature {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
