// Which bytes of a file are read when some are asked for, within a limit of memory.

import { LimitError } from '../errors.ts';

export type FileRange = { readonly offset: number; readonly length: number };

/** What is read at once: the largest module that we unpack, kmod's MAX_MODULE_SIZE. A sparse file may claim any size. */
export const MAX_IMAGE_READ = 512 * 1024 * 1024;

/** Throws LimitError for a file that claims to be larger than both that and the image: a hole can be any size, and reading it would not end. */
export function checkFileSize(image: { readonly path: string; readonly size: number }, size: number): void {
  const maximum = Math.max(MAX_IMAGE_READ, image.size);
  if (size > maximum) throw new LimitError({ file: image.path, limit: 'MAX_IMAGE_READ', maximum, actual: size });
}

/** The range inside a file of `size` bytes. Throws LimitError where it is more than MAX_IMAGE_READ; `file` names the image. */
export function fileRange(file: string, size: number, offset: number, length: number): FileRange {
  const start = Math.min(Math.max(offset, 0), size);
  const clipped = Math.min(Math.max(length, 0), size - start);
  if (clipped > MAX_IMAGE_READ) throw new LimitError({ file, limit: 'MAX_IMAGE_READ', maximum: MAX_IMAGE_READ, actual: clipped });
  return { offset: start, length: clipped };
}
