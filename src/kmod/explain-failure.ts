// Why the kernel refused a module: what it logged and what the files say, in lines that name symbols and the modules that have them.

import type { System } from '../system.ts';
import type { Kmod } from './kmod.ts';
import type { ProbeFailure, ProbeStep } from './probe.ts';
import { symbolProblemText, type SymbolProblem } from './symbol-check.ts';
import { TreeImages } from './tree-images.ts';
import { otherRelease, vermagicProblem } from './vermagic.ts';

/** Lines said of one failure at most: a module of another kernel disagrees about every symbol. */
export const MAX_EXPLANATIONS = 5;

/** ENOENT: unknown symbol. ENOEXEC: format, vermagic, module_layout. EINVAL: version or namespace of a symbol, or a parameter. */
const EXPLAINED = new Set(['ENOENT', 'ENOEXEC', 'EINVAL']);

/**
 * For a step that the kernel refused. Empty where the module and its tree show no reason, or the failure is of another kind. Reads
 * the module's file and those of the modules that export what it needs; never rejects for one that cannot be read.
 */
export async function explainFailure(system: System, kmod: Kmod, failure: ProbeFailure, step: Pick<ProbeStep, 'module' | 'path'>): Promise<string[]> {
  const { code, syscall, kernel } = failure;
  if (!EXPLAINED.has(code) || (syscall !== 'finit_module' && syscall !== 'init_module')) return [];
  // Where the kernel has spoken and not of symbols, it was a parameter.
  if (code === 'EINVAL' && kernel.length > 0 && !kernel.some((line) => /symbol/.test(line))) return [];
  const { db } = kmod.facts;
  const images = new TreeImages(system, db);
  const { facts } = await images.examine(kmod.source.resolve(step.path));
  if (!facts) return [];
  const witness = await images.witness(step.module);
  const named = symbolsIn(kernel);
  const problems = await images.symbolProblems(step.module, facts);
  const rank = ({ symbol }: SymbolProblem) => (named.has(symbol) ? 0 : 1);
  const found = problems.toSorted((a, b) => rank(a) - rank(b));
  const stranger = problems.some(({ kind }) => kind === 'mismatch') ? otherRelease(facts, witness, system.release) : undefined;
  const vermagic = vermagicProblem(facts, witness, system.release) ?? (stranger && `built for kernel ${stranger.own}, not for ${stranger.wanted}`);
  // A module of another kernel disagrees about every symbol: that is no news.
  const told = vermagic === undefined ? found : found.filter(({ kind, symbol }) => kind !== 'mismatch' || named.has(symbol));
  const known = new Set(problems.map(({ symbol }) => symbol));
  const missing = [...named].filter((symbol) => !known.has(symbol) && db.symbols(`symbol:${symbol}`).length === 0 && isMissing(kernel, symbol));
  const lines = [
    ...(vermagic === undefined ? [] : [`module ${step.module}: ${vermagic}`]),
    ...[...missing.map((symbol): SymbolProblem => ({ kind: 'missing', symbol })), ...told].map(symbolProblemText),
  ];
  const more = lines.length - MAX_EXPLANATIONS;
  return more > 0 ? [...lines.slice(0, MAX_EXPLANATIONS), `and ${more} more`] : lines;
}

/** The symbols in the kernel's lines: `Unknown symbol X (err -2)`, `disagrees about version of symbol X`, `module uses symbol X from namespace Y`. */
function symbolsIn(lines: readonly string[]): Set<string> {
  return new Set(lines.flatMap((line) => /\bsymbol (\w+)/.exec(line)?.[1] ?? []));
}

function isMissing(lines: readonly string[], symbol: string): boolean {
  return lines.some((line) => line.includes(`Unknown symbol ${symbol} (err -2)`));
}
