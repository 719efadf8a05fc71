// The language of the second serial line, on which a guest asks the host for things: its requests, parsed, and the answers.

import { gunzipSync } from 'node:zlib';

import { messageOf } from '../errors.ts';

/** What a guest says. `id` is echoed in the answer. */
export type GuestRequest =
  | { readonly kind: 'mark'; readonly name: string }
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'hmp'; readonly id: string; readonly command: string }
  | { readonly kind: 'put'; readonly id: string; readonly name: string; readonly data: Buffer }
  /** Something that cannot be done or understood; `id` is there when somebody waits for an answer. */
  | { readonly kind: 'refused'; readonly id: string | undefined; readonly reason: string };

/** A line is 76 characters of base64 or a request. */
const MAX_CONTROL_LINE = 64 * 1024;
/** Of one file: of base64 of gzip, and decompressed. */
const MAX_PUT_TEXT = 64 * 1024 * 1024;
const MAX_PUT_SIZE = 256 * 1024 * 1024;
/** Of all files of one run. */
const MAX_PUT_TOTAL = 512 * 1024 * 1024;

/** Takes the bytes of the line as they come and gives the requests that they complete. Never throws: the guest may be broken. */
export class ControlLineParser {
  private rest = '';
  private skipping = false;
  private total = 0;
  private file: { readonly id: string; readonly name: string; readonly parts: string[]; length: number } | undefined;

  push(bytes: Uint8Array): GuestRequest[] {
    const requests: GuestRequest[] = [];
    const lines = (this.rest + Buffer.from(bytes).toString('latin1')).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      if (this.skipping) this.skipping = false;
      else requests.push(...this.line(line));
    }
    if (this.rest.length > MAX_CONTROL_LINE) {
      this.rest = '';
      if (!this.skipping) requests.push({ kind: 'refused', id: undefined, reason: `a line of more than MAX_CONTROL_LINE (${MAX_CONTROL_LINE}) bytes` });
      this.skipping = true;
    }
    return requests;
  }

  private line(line: string): GuestRequest[] {
    if (this.file && /^[A-Za-z0-9+/=]*$/.test(line)) {
      this.file.length += line.length;
      // What is too long is still read to its end, but not kept.
      if (this.file.length <= MAX_PUT_TEXT) this.file.parts.push(line);
      return [];
    }
    if (this.file && line === '@end') return [this.finishPut(this.file)];
    const abandoned: GuestRequest[] = this.file ? [{ kind: 'refused', id: this.file.id, reason: `${this.file.name}: the guest stopped sending it` }] : [];
    this.file = undefined;
    const request = this.request(Buffer.from(line, 'latin1').toString());
    return request ? [...abandoned, request] : abandoned;
  }

  private request(line: string): GuestRequest | undefined {
    const [, verb = '', rest = ''] = /^@(\w+) (.*)$/.exec(line) ?? [];
    const [, id = '', argument = ''] = /^(\d+) (.*)$/.exec(rest) ?? [];
    if (verb === 'mark') return { kind: 'mark', name: rest };
    if (verb === 'exit' && /^\d{1,3}$/.test(rest)) return { kind: 'exit', status: Number(rest) };
    if (verb === 'hmp' && id !== '') return { kind: 'hmp', id, command: argument };
    if (verb === 'put' && id !== '') {
      this.file = { id, name: argument, parts: [], length: 0 };
      return undefined;
    }
    return { kind: 'refused', id: undefined, reason: `not a request: ${JSON.stringify(line.slice(0, 100))}` };
  }

  private finishPut(file: NonNullable<typeof this.file>): GuestRequest {
    const { id, name } = file;
    this.file = undefined;
    const refuse = (reason: string): GuestRequest => ({ kind: 'refused', id, reason: `${name}: ${reason}` });
    if (!isFileName(name)) return refuse('not a file name');
    if (file.length > MAX_PUT_TEXT) return refuse(`more than MAX_PUT_TEXT (${MAX_PUT_TEXT}) bytes on the line`);
    try {
      const data = gunzipSync(Buffer.from(file.parts.join(''), 'base64'), { maxOutputLength: MAX_PUT_SIZE });
      this.total += data.length;
      if (this.total > MAX_PUT_TOTAL) return refuse(`more than MAX_PUT_TOTAL (${MAX_PUT_TOTAL}) bytes in one run`);
      return { kind: 'put', id, name, data };
    } catch (error) {
      return refuse(messageOf(error));
    }
  }
}

/** The answer to a request: the lines that its sender prints, and its exit status. */
export function formatAnswer(id: string, status: number, text = ''): string {
  const lines = text.split(/\r?\n/).filter((line, index, all) => index < all.length - 1 || line !== '');
  return [...lines.map((line) => `${id} ${line}\n`), `${id} done ${status}\n`].join('');
}

/** A name for a file of the host, inside one directory. */
function isFileName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && Buffer.byteLength(name) <= 255 && !/[/\0]/.test(name);
}
