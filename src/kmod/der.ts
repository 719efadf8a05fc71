// DER, the binary form of ASN.1 (ITU-T X.690): one element at a time, with every length checked.

import { FormatError } from '../errors.ts';

/** One element. Offsets are positions in the bytes that it was read from. */
export type DerElement = {
  /** The identifier octet: class, the constructed bit 0x20, and the tag number. */
  readonly tag: number;
  readonly start: number;
  readonly content: Uint8Array;
  /** Where the content begins, for messages. */
  readonly offset: number;
};

/** Identifier octets (X.690 8.1.2). */
export const DER_INTEGER = 0x02;
export const DER_OCTET_STRING = 0x04;
export const DER_OBJECT_IDENTIFIER = 0x06;
export const DER_BMP_STRING = 0x1e;
export const DER_UTF8_STRING = 0x0c;
export const DER_SEQUENCE = 0x30;
export const DER_SET = 0x31;
/** `[0]` and `[1]`, of primitive and of constructed types. */
export const DER_CONTEXT_0 = 0x80;
export const DER_CONTEXT_0_CONSTRUCTED = 0xa0;
export const DER_CONTEXT_1_CONSTRUCTED = 0xa1;

/** Tag numbers above 30 need more octets; nothing that we read has them. */
const LONG_TAG = 0x1f;
/** Length octets of a file that fits into memory. */
const MAX_LENGTH_OCTETS = 4;
/** Of an object identifier; the longest in use have about ten. */
const MAX_ARCS = 32;
const MAX_ARC = 2 ** 48;

/** Walks the elements that follow each other in `bytes`. Throws FormatError; `file` and `base` are for its text. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #file: string;
  readonly #base: number;
  #at = 0;

  constructor(bytes: Uint8Array, file: string, base = 0) {
    this.#bytes = bytes;
    this.#file = file;
    this.#base = base;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next element, whatever it is. */
  next(what: string): DerElement {
    const start = this.#at;
    const tag = this.#octet(what);
    if ((tag & LONG_TAG) === LONG_TAG) throw this.#error(start, what, 'a tag of several octets');
    const length = this.#length(what);
    const left = this.#bytes.length - this.#at;
    if (length > left) throw this.#error(start, `${length} bytes of ${what}`, `${left}`);
    const offset = this.#base + this.#at;
    const content = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { tag, start: this.#base + start, content, offset };
  }

  /** The next element, which must have this tag. */
  expect(tag: number, what: string): DerElement {
    const element = this.next(what);
    if (element.tag !== tag) throw this.#error(element.start - this.#base, `${what} (tag ${hex(tag)})`, `tag ${hex(element.tag)}`);
    return element;
  }

  /** The next element if it has this tag. */
  optional(tag: number, what: string): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.next(what) : undefined;
  }

  /** A reader of what is inside an element. */
  inside(element: DerElement): DerReader {
    return new DerReader(element.content, this.#file, element.offset);
  }

  #length(what: string): number {
    const start = this.#at;
    const first = this.#octet(what);
    if (first < 0x80) return first;
    const octets = first & 0x7f;
    // 0 is BER's indefinite length, which DER forbids.
    if (octets === 0 || octets > MAX_LENGTH_OCTETS) throw this.#error(start, `the length of ${what}`, hex(first));
    let length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + this.#octet(what);
    return length;
  }

  #octet(what: string): number {
    const octet = this.#bytes[this.#at];
    if (octet === undefined) throw this.#error(this.#at, what, 'the end');
    this.#at++;
    return octet;
  }

  #error(at: number, expected: string, actual: string): FormatError {
    return new FormatError({ file: this.#file, offset: this.#base + at, expected, actual });
  }
}

/** `2.16.840.1.101.3.4.2.1`; undefined for one that is cut or out of all proportion. */
export function objectIdentifier(content: Uint8Array): string | undefined {
  const arcs: number[] = [];
  let arc = 0;
  let open = false;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    open = octet >= 0x80;
    if (arc > MAX_ARC) return undefined;
    if (open) continue;
    // The first two arcs share a number (X.690 8.19.4).
    if (arcs.length === 0) arcs.push(Math.min(Math.floor(arc / 40), 2), arc - 40 * Math.min(Math.floor(arc / 40), 2));
    else arcs.push(arc);
    if (arcs.length > MAX_ARCS) return undefined;
    arc = 0;
  }
  return open || arcs.length === 0 ? undefined : arcs.join('.');
}

/** The magnitude of an INTEGER, most significant octet first, without leading zeros: nothing at all for 0. */
export function integerMagnitude(content: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(content);
  if ((bytes[0] ?? 0) >= 0x80) {
    let carry = 1;
    for (let i = bytes.length - 1; i >= 0; i--) {
      const sum = (~(bytes[i] ?? 0) & 0xff) + carry;
      bytes[i] = sum & 0xff;
      carry = sum >> 8;
    }
  }
  const first = bytes.findIndex((octet) => octet !== 0);
  return first < 0 ? new Uint8Array(0) : bytes.subarray(first);
}

function hex(octet: number): string {
  return `0x${octet.toString(16).padStart(2, '0')}`;
}
