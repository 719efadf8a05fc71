// The options by which test and apply are told of an event: --action and --resolve-names.

import { UsageError } from '../errors.ts';
import type { ResolveNames } from '../udev/rules/parse-context.ts';
import { ACTIONS } from '../udev/synthetic.ts';
import type { AppletContext } from './applet.ts';
import type { OptionSpec } from './getopt.ts';

export const EVENT_OPTIONS: readonly OptionSpec[] = [
  { long: 'action', short: 'a', argument: 'required' },
  { long: 'resolve-names', short: 'N', argument: 'required' },
];

export type EventOptions = { readonly action: string; readonly resolveNames: ResolveNames };

const RESOLVE_NAMES = ['early', 'late', 'never'] as const;

/** Undefined where `--action=help` was asked for, and is answered: then the applet is done, with exit code 0. Throws UsageError. */
export function eventOptionsOf(given: ReadonlyMap<string, string>, { program, stdout }: AppletContext): EventOptions | undefined {
  const action = given.get('action') ?? 'add';
  if (action === 'help') {
    stdout(`${ACTIONS.join('\n')}\n`);
    return undefined;
  }
  if (!ACTIONS.includes(action)) throw new UsageError(`${program}: Invalid action '${action}'`);
  const resolveNames = RESOLVE_NAMES.find((when) => when === (given.get('resolve-names') ?? 'early'));
  if (!resolveNames) throw new UsageError(`${program}: --resolve-names= must be early, late or never`);
  return { action, resolveNames };
}
