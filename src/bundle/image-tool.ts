// Runs a program that makes images, and says which package has it.

import { statSync } from 'node:fs';

import { UnsupportedError } from '../errors.ts';
import { failureOf, requireTool, runTool, type ToolOptions } from '../vm/host-tool.ts';

/** Gives what it printed. Throws UnsupportedError where it is not installed or fails, with what it said last. */
export async function runImageTool(name: string, debianPackage: string, args: readonly string[], options: ToolOptions): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const tool = requireTool(name, debianPackage);
  const result = await runTool(tool, args, options);
  if (result.status !== 0) throw new UnsupportedError(`${name}: ${failureOf(result)}`);
  return result;
}

export function sizeOfFile(path: string): number {
  return statSync(path).size;
}
