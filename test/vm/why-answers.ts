// What `tskmod why` says in a guest of every driver that the kernel bound and every module that it has.

import { expect } from 'vitest';

import type { VmResult } from '../../src/vm/vm.ts';
import type { Explanation } from '../../src/why/explanation.ts';

/** For a guest's sh, after its coldplug. */
export const PUT_WHY = `
for device in /sys/bus/*/devices/*; do
  [ -e $device/driver/module ] && echo "$(readlink -f $device) $(basename $(readlink -f $device/driver/module))"
done > /tmp/why-bound
cut -d' ' -f1 /proc/modules > /tmp/why-modules
tskmod why --json $(cut -d' ' -f1 /tmp/why-bound /tmp/why-modules) > /tmp/why-answers 2> /tmp/why-errors
vmctl put /tmp/why-bound /tmp/why-modules /tmp/why-answers /tmp/why-errors
`;

/**
 * Each device's answer has the module that the kernel bound, found by its own modalias or, for a driver without one, backwards; each loaded
 * module's answer begins at a device, a request or a list. Returns how many of both there were.
 */
export function expectWhy(result: VmResult): { readonly devices: number; readonly modules: number } {
  const textOf = (file: string): string => result.files.get(file)?.toString('utf8') ?? '';
  expect(textOf('why-errors'), result.console).toBe('');
  const answers = new Map(textOf('why-answers').split('\n').filter(Boolean).map((line) => JSON.parse(line) as Explanation).map((answer) => [answer.target, answer]));
  const bound = textOf('why-bound').split('\n').filter(Boolean).map((line) => line.split(' ')).map(([device = '', module = '']) => ({ device, module }));
  const modules = textOf('why-modules').split('\n').filter(Boolean);
  const named = bound.map(({ device, module }) => {
    const answer = answers.get(device);
    return { device, module: answer?.driver?.module, hasLink: answer?.links.some(({ kind, name }) => kind === 'module' && name === module) };
  });
  expect(named).toEqual(bound.map(({ device, module }) => ({ device, module, hasLink: true })));
  const adrift = modules.filter((module) => !answers.get(module)?.links.some((link, i, links) => (
    link.kind === 'module' && link.name === module && i === links.findIndex(({ kind }) => kind === 'module') && link.from.length > 0 && link.from.some((at) => beginsWell(links, at)))));
  expect(adrift, textOf('why-answers')).toEqual([]);
  return { devices: bound.length, modules: modules.length };
}

function beginsWell(links: Explanation['links'], at: number): boolean {
  const link = links[at];
  if (!link) return false;
  return link.from.length === 0 ? ['device', 'request', 'list'].includes(link.kind) : link.from.some((before) => beginsWell(links, before));
}
