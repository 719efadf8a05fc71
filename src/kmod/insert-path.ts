// Inserts one module file by its path: no names, no dependencies, no configuration, as insmod does.

import { codeOf } from '../errors.ts';
import { describeErrno, errnoByName, MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC, type System } from '../system.ts';
import { moduleNameOfPath } from './alias.ts';
import { failureOf } from './failure.ts';
import { insertFile, type Insertion, kernelCompression } from './insert.ts';
import { KmsgTail } from './kmsg.ts';
import type { ProbeFailure } from './probe.ts';
import { openModuleFile } from './tree-source.ts';

export type InsertPathOptions = {
  /** Joined by blanks. */
  readonly params?: string;
  readonly forceModversions?: boolean;
  readonly forceVermagic?: boolean;
};

export type PathInsertion = {
  readonly module: string;
  readonly outcome: 'inserted' | 'failed';
  readonly failure?: ProbeFailure;
  readonly decompressed: Insertion['decompressed'];
};

/** Never rejects for a file that cannot be read or that the kernel refuses: the result says why. */
export async function insertPath(system: System, path: string, options: InsertPathOptions = {}): Promise<PathInsertion> {
  const { params = '', forceModversions = false, forceVermagic = false } = options;
  const flags = (forceModversions ? MODULE_INIT_IGNORE_MODVERSIONS : 0) | (forceVermagic ? MODULE_INIT_IGNORE_VERMAGIC : 0);
  const module = moduleNameOfPath(path);
  let kmsg: KmsgTail | undefined;
  try {
    const native = await system.native();
    const tail = await KmsgTail.open(system);
    kmsg = tail;
    const mark = tail?.mark() ?? 0;
    const file = openModuleFile(path);
    try {
      const { errno, syscall, decompressed } = await insertFile(file, params, {
        native, kernelFormat: kernelCompression(system), newKernelLines: () => tail?.since(mark), flags,
      });
      if (errno === 0) return { module, outcome: 'inserted', decompressed };
      const { code, text } = describeErrno(errno);
      const failure = { code, errno, syscall, text, kernel: linesAbout(module, tail?.since(mark) ?? []) };
      return { module, outcome: 'failed', failure, decompressed };
    } finally {
      file.close();
    }
  } catch (error) {
    return { module, outcome: 'failed', failure: failureOfFile(error, path), decompressed: undefined };
  } finally {
    kmsg?.close();
  }
}

/** Lines that name the module; where none does, all of them. */
function linesAbout(module: string, lines: readonly string[]): readonly string[] {
  const own = lines.filter((line) => line.replaceAll('-', '_').includes(module));
  return own.length > 0 ? own : lines;
}

function failureOfFile(error: unknown, path: string): ProbeFailure {
  const errno = errnoByName(codeOf(error) ?? '');
  const failure = failureOf(error, path);
  // Who calls names the file already.
  return errno === undefined ? failure : { ...failure, text: describeErrno(errno).text };
}
