// Failures of steps: from an errno, or from what was thrown on the way.

import { codeOf, FormatError, LimitError, messageOf, UnsupportedError } from '../errors.ts';
import { describeErrno, errnoByName } from '../system.ts';
import type { ProbeFailure, ProbeGoal } from './probe.ts';

/** The failure that a symbolic errno stands for. */
export function errnoFailure(code: string, syscall: string): ProbeFailure {
  const errno = errnoByName(code) ?? 0;
  return { code, errno, syscall, text: describeErrno(errno).text, kernel: [] };
}

/** What was thrown while the file was opened, read or decompressed. */
export function failureOf(error: unknown, path: string): ProbeFailure {
  const code = codeOf(error);
  const errno = code === undefined ? undefined : errnoByName(code);
  if (code !== undefined && errno !== undefined) {
    return { ...errnoFailure(code, 'open'), text: `could not read ${path}: ${describeErrno(errno).text}` };
  }
  return { ...errnoFailure('EINVAL', 'decompress'), text: messageOf(error) };
}

/** The errno that libkmod has for a module file that could not be read, decompressed or understood. Throws what is no such error. */
export function unreadCode(error: unknown): string {
  const code = codeOf(error);
  if (code !== undefined && errnoByName(code) !== undefined) return code;
  if (error instanceof FormatError) return error.offset === 0 && error.expected.startsWith('the ELF magic') ? 'ENOEXEC' : 'EINVAL';
  if (error instanceof LimitError || error instanceof UnsupportedError) return 'EINVAL';
  throw error;
}

/** Names the line that denies the module, or the one that it needs. */
export function deniedFailure({ module, denied = module, source }: ProbeGoal): ProbeFailure {
  const line = source?.line === undefined ? '' : ` line ${source.line}`;
  return { ...errnoFailure('EPERM', 'deny'), text: `${denied} is denied by ${source?.file ?? 'the configuration'}${line}` };
}
