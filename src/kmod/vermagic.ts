// Whether a module was built for the kernel whose tree it is in: its machine, its vermagic, and those of another module of the tree.

import type { ImageFacts } from './image-facts.ts';

/** One sentence, or undefined where the kernel would not mind. */
export function vermagicProblem(facts: ImageFacts, witness: { readonly module: string; readonly facts: ImageFacts } | undefined, release: string): string | undefined {
  const other = witness?.facts;
  if (other && (other.machine !== facts.machine || other.bits !== facts.bits)) {
    return `built for another machine: ELF machine ${facts.machine} of ${facts.bits} bits, where ${witness.module} has ${other.machine} of ${other.bits}`;
  }
  if (facts.vermagic === undefined) return undefined;
  const own = split(facts.vermagic);
  const expected = other?.vermagic === undefined ? undefined : split(other.vermagic);
  // Where symbols have versions on both sides, the kernel leaves the release out of the comparison (same_magic, kernel/module/version.c).
  const versions = [own, expected ?? own].every(({ flags }) => flags.includes('modversions'));
  const stranger = otherRelease(facts, witness, release);
  if (!versions && stranger) return `built for kernel ${stranger.own}, not for ${stranger.wanted}`;
  if (expected && own.flags.join(' ') !== expected.flags.join(' ')) {
    return `built with vermagic '${facts.vermagic}', where ${witness?.module} has '${other?.vermagic}'`;
  }
  return undefined;
}

/** The release that a module was built for, where that is another one: no fault by itself where symbols have versions. */
export function otherRelease(facts: ImageFacts, witness: { readonly facts: ImageFacts } | undefined, release: string): { readonly own: string; readonly wanted: string } | undefined {
  const own = facts.vermagic === undefined ? undefined : split(facts.vermagic).release;
  const wanted = witness?.facts.vermagic === undefined ? release : split(witness.facts.vermagic).release;
  return own === undefined || own === wanted ? undefined : { own, wanted };
}

/** `RELEASE FLAG…`, include/linux/vermagic.h. */
function split(vermagic: string): { readonly release: string; readonly flags: readonly string[] } {
  const [release = '', ...flags] = vermagic.split(/\s+/);
  return { release, flags };
}
