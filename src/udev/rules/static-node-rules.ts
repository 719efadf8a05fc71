// What the rules say of nodes whose driver is not there yet: lines with OPTIONS+="static_node=NODE".

import type { StaticNodeWishes } from '../static-nodes.ts';
import type { RuleLine, RuleSet } from './rule.ts';

/** One entry a node and line, in the order of the rules. The matches of such a line do not count: there is no device to match. */
export function staticNodeWishes({ files }: RuleSet): readonly StaticNodeWishes[] {
  return files.flatMap(({ lines }) => lines.flatMap(wishesOf));
}

function wishesOf({ tokens }: RuleLine): readonly StaticNodeWishes[] {
  const number = (key: string): number | undefined => tokens.findLast((token) => token.key === key)?.number;
  const owner = number('OWNER#');
  const group = number('GROUP#');
  // A group that may not even read would be of no use: as for the nodes of devices.
  const mode = number('MODE#') ?? (group === undefined ? undefined : 0o660);
  const tags = tokens.filter(({ key, op }) => key === 'TAG' && op !== '-=').map(({ value }) => value);
  return tokens.filter(({ key }) => key === 'static_node').map(({ value }) => ({ path: value, owner, group, mode, tags }));
}
