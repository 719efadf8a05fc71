// What of a module's file is in the way of its load: whether it can be read, for which kernel it was built, its symbols, its signature.

import { closeSync, openSync, readSync } from 'node:fs';

import { codeOf, messageOf } from '../errors.ts';
import { describeErrno, errnoByName } from '../system.ts';
import { type Compression, compressionOf } from './compression.ts';
import type { Finding, FindingKind } from './doctor.ts';
import { signatureEnforcement } from './doctor-kernel.ts';
import { depmodCommand, type DiagnosedTree } from './doctor-tree.ts';
import type { ImageFacts } from './image-facts.ts';
import { kernelCompression } from './insert.ts';
import type { ModuleSignature } from './signature.ts';
import { type SymbolProblem, symbolProblemText } from './symbol-check.ts';
import { readText, type TreeImages } from './tree-images.ts';
import { otherRelease, vermagicProblem } from './vermagic.ts';

/** Symbols named of a kind of problem: a module of another kernel disagrees about all. */
const MAX_SYMBOLS = 5;
/** Magic, stream flags. */
const HEAD_SIZE = 12;
/** Check IDs that lib/xz of the kernel knows: none and CRC32. */
const KERNEL_XZ_CHECKS = [0, 1];
const XZ_CHECK_NAMES: Readonly<Record<number, string>> = { 4: 'CRC64', 10: 'SHA-256' };

/** `path` as files are opened; the module is not loaded. */
export async function imageFindings(module: string, path: string, tree: DiagnosedTree, images: TreeImages): Promise<Finding[]> {
  const { facts, error } = await images.examine(path);
  if (!facts) return [fileFinding(module, path, error, tree)];
  const own = await buildFindings(module, path, facts, tree, images);
  return [...own, ...await signatureFindings(module, path, facts, tree, images), ...compressionFindings(module, path, tree)];
}

/** A module of another kernel disagrees about symbols too: these are evidence then. */
async function buildFindings(module: string, path: string, facts: ImageFacts, tree: DiagnosedTree, images: TreeImages): Promise<Finding[]> {
  const witness = await images.witness(module);
  const { release } = tree.system;
  const problems = await images.symbolProblems(module, facts);
  const mismatches = problems.filter(({ kind }) => kind === 'mismatch');
  const stranger = mismatches.length > 0 ? otherRelease(facts, witness, release) : undefined;
  const vermagic = vermagicProblem(facts, witness, release) ?? (stranger && `built for kernel ${stranger.own}, not for ${stranger.wanted}`);
  if (vermagic === undefined) return symbolFindings(module, problems, tree);
  return [{
    kind: 'wrong-vermagic', level: 'problem', module, text: `${module} was ${vermagic}`,
    evidence: [`${path}: vermagic ${facts.vermagic ?? 'absent'}`, ...symbolLines(mismatches)], propose: `modinfo -F vermagic ${path}`,
  }];
}

function fileFinding(module: string, path: string, error: unknown, tree: DiagnosedTree): Finding {
  const code = codeOf(error);
  const errno = code === undefined ? undefined : errnoByName(code);
  if (code === 'ENOENT') {
    const indexed = path === tree.kmod.source.resolve(tree.kmod.facts.db.dependencies(module)?.path ?? '');
    return {
      kind: 'missing-file', level: 'problem', module, text: `the file of ${module} is not there: ${path}`,
      ...(indexed ? { evidence: ['modules.dep names it'], propose: depmodCommand(tree, tree.kmod.source.release) } : {}),
    };
  }
  if (errno !== undefined) {
    return {
      kind: 'unreadable-file', level: 'problem', module, text: `the file of ${module} cannot be read: ${path}: ${describeErrno(errno).text}`, propose: `ls -l ${path}`,
    };
  }
  return { kind: 'damaged-file', level: 'problem', module, text: `the file of ${module} is damaged`, evidence: [messageOf(error)], propose: `ls -l ${path}` };
}

const SYMBOL_KINDS: Readonly<Record<SymbolProblem['kind'], { readonly kind: FindingKind; readonly text: (module: string) => string }>> = {
  missing: { kind: 'missing-symbol', text: (module) => `${module} needs symbols that nobody exports` },
  unloaded: { kind: 'unlisted-dependency', text: (module) => `${module} needs modules that modules.dep does not name` },
  mismatch: { kind: 'symbol-mismatch', text: (module) => `${module} needs symbols in other versions than there are` },
  namespace: { kind: 'missing-namespace', text: (module) => `${module} needs symbols of a namespace that it does not import` },
};

function symbolFindings(module: string, problems: readonly SymbolProblem[], tree: DiagnosedTree): Finding[] {
  // What modules.dep names is loaded before.
  const inTheWay = problems.filter((problem) => problem.kind !== 'unloaded' || !problem.listed);
  return (['missing', 'mismatch', 'unloaded', 'namespace'] as const).flatMap((each): Finding[] => {
    const own = inTheWay.filter(({ kind }) => kind === each);
    if (own.length === 0) return [];
    const [first] = own;
    const exporter = first && 'exporter' in first ? first.exporter : undefined;
    const propose = each === 'unloaded' ? depmodCommand(tree, tree.kmod.source.release) : each === 'mismatch' && exporter !== undefined ? `modinfo -F vermagic ${module} ${exporter}` : undefined;
    const { kind, text } = SYMBOL_KINDS[each];
    return [{ kind, level: 'problem', module, text: text(module), evidence: symbolLines(own), ...(propose === undefined ? {} : { propose }) }];
  });
}

function symbolLines(problems: readonly SymbolProblem[]): string[] {
  const lines = problems.slice(0, MAX_SYMBOLS).map(symbolProblemText);
  return problems.length > MAX_SYMBOLS ? [...lines, `and ${problems.length - MAX_SYMBOLS} more`] : lines;
}

async function signatureFindings(module: string, path: string, { signature }: ImageFacts, tree: DiagnosedTree, images: TreeImages): Promise<Finding[]> {
  const enforced = signatureEnforcement(tree);
  if (enforced === undefined) return [];
  if (!signature) {
    return [{
      kind: 'unsigned', level: 'problem', module, text: `${module} is not signed, and the kernel takes signed modules only`,
      evidence: [enforced], propose: `mokutil --list-enrolled`,
    }];
  }
  const doubt = untrusted(signature, tree, (await images.witness(module))?.facts.signature);
  if (doubt === undefined) return [];
  return [{
    kind: 'untrusted-signature', level: 'problem', module, text: `${module} is signed with a key that the kernel does not know`,
    evidence: [`${path}: signer ${signature.signer || 'unnamed'}`, doubt, enforced], propose: 'mokutil --list-enrolled',
  }];
}

/**
 * Why the key is surely not the kernel's, as far as its keyrings can be seen: /proc/keys has the names of keys, and a signature the
 * name of its signer and a serial number. Signers of one name and two keys are two builds of the same kernel.
 */
function untrusted(signature: ModuleSignature, { system }: DiagnosedTree, witness: ModuleSignature | undefined): string | undefined {
  const file = `${system.roots.proc}/keys`;
  const keys = (readText(system, file) ?? '').split('\n').filter((line) => line.includes(' asymmetri'));
  if (keys.length > 0 && signature.signer !== '' && !keys.some((line) => line.includes(signature.signer))) return `${file} has no key of that name`;
  if (witness?.signer === signature.signer && !Buffer.from(witness.keyId).equals(signature.keyId)) return 'other modules have another key of the same name';
  return undefined;
}

function compressionFindings(module: string, path: string, { system, running }: DiagnosedTree): Finding[] {
  const kernel = running ? kernelCompression(system) : undefined;
  if (kernel === undefined) return [];
  const head = readHead(path);
  const compression = compressionOf(head);
  if (compression === undefined) return [];
  const refused = refusalOf(compression, head, kernel);
  if (refused === undefined) return [];
  return [{
    kind: 'compression', level: 'note', module, text: `${module} is unpacked by modprobe, not by the kernel: ${refused}`,
    evidence: [path], ...(compression === 'xz' && kernel === 'xz' ? { propose: `xz -dk ${path} && xz --check=crc32 -f ${path.replace(/\.xz$/, '')}` } : {}),
  }];
}

function refusalOf(compression: Compression, head: Uint8Array, kernel: Compression): string | undefined {
  if (compression !== kernel) return `it is compressed with ${compression}, and this kernel knows ${kernel} only`;
  const check = head[7] ?? 0;
  if (compression !== 'xz' || KERNEL_XZ_CHECKS.includes(check)) return undefined;
  return `its check is ${XZ_CHECK_NAMES[check] ?? `number ${check}`}, and the kernel knows CRC32 only`;
}

function readHead(path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.alloc(HEAD_SIZE);
    return head.subarray(0, readSync(fd, head, 0, HEAD_SIZE, 0));
  } finally {
    closeSync(fd);
  }
}
